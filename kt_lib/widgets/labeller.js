// The labelling widget's face. Every text is put in as text, never as markup; nothing is fetched.

const HELP = [
  ["y n", "yes, no"], ["1 2 0", "left, right, equal"], ["c", "correct (Ctrl+Enter stores it)"],
  ["Enter", "accept the suggestion"], ["s", "skip, with a reason"], ["f", "flag"], ["m", "note"],
  ["u", "undo"], ["r", "redo"], ["j k", "next, previous"], ["g", "next open question"],
  ["h", "hide or show suggestions"], ["b", "accept many at once"], ["d", "disagreements"], ["Esc", "close"], ["?", "these keys"],
];

const button = (words, key, act, attributes = {}) =>
  h("button", { type: "button", onclick: act, "aria-keyshortcuts": key || null, ...attributes }, words, key ? h("kbd", {}, key) : null);

function render({ model, el }) {
  let panel = null; // what is open below the question: skip, note, correct, bulk, help
  let settling = null; // the id of the question whose disagreement is being settled
  let since = Date.now();
  let shownId = null;
  let typed = "";
  const send = (message) => model.send(message);
  const view = () => model.get("view");
  const current = () => view().question;

  const live = h("p.said", { role: "status", "aria-live": "polite" });
  const fault = h("p.fault", { role: "alert" });
  const body = h("div");
  const root = h("section.kt-widget.kt-labeller", {
    tabindex: "0", "aria-label": "Labelling. Press ? for the keys.", "data-lm-suppress-shortcuts": "true", onkeydown: keys,
  }, body, live, fault);
  el.replaceChildren(root);

  function seconds() {
    return Math.min(Math.round((Date.now() - since) / 100) / 10, 604800);
  }

  function open(name) {
    if (view().disputed && ["skip", "note", "correct"].includes(name)) return; // the question is not in sight
    panel = panel === name ? null : name;
    if (name === "bulk" && panel) send({ do: "count", threshold: view().threshold });
    if (name === "disputed") { panel = null; send({ do: "disputed" }); return; }
    typed = name === "note" ? current()?.answer?.note ?? "" : name === "correct" ? current()?.draft ?? "" : "";
    draw();
    const field = root.querySelector(".panel textarea, .panel input");
    if (field) { field.focus(); if (name === "correct") send({ do: "check", question: current().id, text: typed }); }
  }

  function close() {
    panel = null;
    settling = null;
    draw();
    root.focus({ preventScroll: true });
  }

  function answer(verdict, text = "") {
    const question = current();
    if (!question) return;
    const choice = question.choices.find((one) => one.verdict === verdict);
    if (!choice) return;
    if (verdict === "corrected" && panel !== "correct") return open("correct");
    send({ do: settling === question.id ? "settle" : "answer", question: question.id, verdict, text, seconds: seconds() });
    if (verdict !== "corrected") after();
  }

  function after() {
    panel = null;
    settling = null;
    root.focus({ preventScroll: true });
  }

  function keys(event) {
    const typing = ["TEXTAREA", "INPUT", "SELECT"].includes(event.target.tagName);
    // JupyterLab must not act on what is meant for this widget.
    event.stopPropagation();
    if (event.key === "Escape") { event.preventDefault(); return close(); }
    if (typing) {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey || event.target.tagName === "INPUT")) {
        event.preventDefault();
        root.querySelector(".panel .store")?.click();
      }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || (event.shiftKey && event.key === "Enter")) return;
    if (event.key === "Enter" && event.target.tagName === "BUTTON") return;
    const question = view().disputed ? null : current();
    const choice = question?.choices.find((one) => one.key === event.key.toLowerCase());
    const acts = {
      Enter: () => { if (question) { send({ do: "accept", question: question.id, seconds: seconds() }); after(); } },
      s: () => open("skip"), m: () => open("note"), b: () => open("bulk"), "?": () => open("help"), d: () => open("disputed"),
      f: () => question && send({ do: "flag", question: question.id }),
      u: () => send({ do: "undo" }), r: () => send({ do: "redo" }), h: () => send({ do: "hide" }), g: () => send({ do: "open" }),
      j: () => send({ do: "step", by: 1 }), k: () => send({ do: "step", by: -1 }),
      ArrowRight: () => send({ do: "step", by: 1 }), ArrowLeft: () => send({ do: "step", by: -1 }),
    };
    const act = choice ? () => answer(choice.verdict) : acts[event.key] ?? acts[event.key.toLowerCase()];
    if (act) { event.preventDefault(); act(); }
  }

  // --- drawing ---

  function draw() {
    const state = view();
    const question = state.question;
    if (question?.id !== shownId) {
      shownId = question?.id ?? null;
      since = Date.now();
      if (panel === "correct" || panel === "skip" || panel === "note") panel = null;
    }
    const active = root.contains(document.activeElement);
    const field = active && document.activeElement.closest(".panel") ? document.activeElement : null;
    if (field && panel && !state.said) { patch(state); return; }
    body.replaceChildren(head(state), ...(state.disputed ? [disputed(state.disputed)] : question ? [ask(question), actions(state)] : [nothing()]), below(state));
    live.textContent = state.said;
    fault.textContent = state.fault;
    if (active && !panel) root.focus({ preventScroll: true });
  }

  // While someone types only what was found out about the text changes.
  function patch(state) {
    root.querySelector(".panel .found")?.replaceWith(found(state));
    const count = root.querySelector(".panel .count");
    if (count && state.bulk) count.textContent = bulkWords(state.bulk);
    live.textContent = state.said;
    fault.textContent = state.fault;
  }

  function head(state) {
    const { done, skipped, flagged, total, rate, left } = state.progress;
    const words = [`${done} of ${total} answered`, skipped ? `${skipped} skipped` : "", flagged ? `${flagged} flagged` : "", rate, left];
    return h("header", {},
      h("div.top", {},
        h("progress", { max: total || 1, value: done + skipped, "aria-label": "questions answered or skipped" }),
        h("span.words", {}, words.filter(Boolean).join(" · "))),
      h("div.who", {},
        h("label", {}, "annotator ", h("input.name", { value: state.annotator, maxlength: "100", size: "12", onchange: (event) => send({ do: "annotator", text: event.target.value }) })),
        h("label", {}, "order ", select(state)),
        button(state.hidden ? "show suggestions" : "hide suggestions", "h", () => send({ do: "hide" })),
        button("many at once", "b", () => open("bulk")), button("disagreements", "d", () => open("disputed")), button("keys", "?", () => open("help"))));
  }

  function select(state) {
    const options = state.orders.map((name) => h("option", { value: name, selected: name === state.order }, name.replace("_", " ")));
    return h("select", { onchange: (event) => send({ do: "order", text: event.target.value }) }, ...options);
  }

  function ask(question) {
    const place = `${view().position + 1} of ${view().progress.total}`;
    const sides = question.diff ? [diff(question.diff)] : question.sides.map(side);
    return h("article", { "aria-label": question.asked },
      h("h3", {}, question.asked, h("small", {}, ` ${place}${settling === question.id ? " · settling a disagreement" : ""}`)),
      h("div.context", { tabindex: "0", "aria-label": "conversation" }, ...question.context.map((one) => h(`p.turn.${one.role}`, {}, h("span.role", {}, one.role), one.text))),
      h(`div.sides.n${sides.length}`, {}, ...sides),
      given(question));
  }

  function side(one) {
    const calls = one.calls.map((call) => h("code.call", {}, call));
    return h("div.side", {}, h("p.name", {}, one.name), one.text ? h("pre", {}, one.text) : null, ...calls);
  }

  function diff(pieces) {
    const made = pieces.map((piece) => (piece.did === "same" ? piece.text : h(piece.did, {}, piece.text)));
    return h("div.side.diff", {}, h("p.name", {}, "the edit: ", h("del", {}, "taken out"), " ", h("ins", {}, "put in")), h("pre", {}, ...made));
  }

  function given(question) {
    const { answer, suggestions } = question;
    const first = suggestions.map((one, at) => h("li", {}, h("strong", {}, one.words), ` ${Math.round(one.score * 100)}% · ${one.origin}${one.because ? ` · ${one.because}` : ""}`, at === 0 ? h("kbd", {}, "Enter") : null));
    return h("div.given", {},
      first.length ? h("div.suggested", {}, h("p.name", {}, "suggested"), h("ul", {}, ...first)) : null,
      answer ? h("p.answer", {}, h("span.chip", {}, answer.verdict === "open" ? "not answered" : `your answer: ${answer.words}`), answer.flagged ? h("span.chip.flag", {}, "flagged") : null, ...answer.calls.map((call) => h("code", {}, call)), answer.text ? ` ${answer.text}` : "", answer.note ? ` note: ${answer.note}` : "") : null);
  }

  function actions(state) {
    const choices = state.question.choices.map((one) => button(one.words, one.key, () => answer(one.verdict), { class: `choice ${one.verdict}` }));
    return h("div.actions", { role: "toolbar", "aria-label": "answers" }, ...choices, h("span.gap"),
      button("skip", "s", () => open("skip")), button("flag", "f", () => send({ do: "flag", question: state.question.id })),
      button("note", "m", () => open("note")), button("undo", "u", () => send({ do: "undo" })), button("redo", "r", () => send({ do: "redo" })),
      button("previous", "k", () => send({ do: "step", by: -1 })), button("next", "j", () => send({ do: "step", by: 1 })), button("next open", "g", () => send({ do: "open" })));
  }

  const nothing = () => h("p", {}, "There is nothing to label: run 01_ingest with chats of your own, or choose other kinds of questions.");

  function below(state) {
    const panels = { skip: skipping, note: noting, correct: correcting, bulk, help };
    return panel && panels[panel] ? h("div.panel", {}, panels[panel](state)) : h("span");
  }

  function stores(words, act) {
    return h("p", {}, button(words, "", () => { act(typed); }, { class: "store" }), button("close", "Esc", close));
  }

  function skipping(state) {
    return h("div", {}, h("label", {}, "Why skip it? ", h("input", { maxlength: "500", size: "40", oninput: (event) => { typed = event.target.value; } })),
      stores("skip", (text) => { send({ do: "skip", question: state.question.id, text }); if (text.trim()) after(); }));
  }

  function noting(state) {
    const field = h("textarea", { rows: "3", maxlength: "2000", "aria-label": "note", oninput: (event) => { typed = event.target.value; } });
    field.value = typed;
    return h("div", {}, h("label", {}, "Note", field), stores("save note", (text) => { send({ do: "note", question: state.question.id, text }); after(); }));
  }

  let checking = 0;
  function correcting(state) {
    const question = state.question;
    const field = h("textarea.code", { rows: String(Math.min(16, 3 + typed.split("\n").length)), spellcheck: "false", maxlength: "20000", "aria-label": "correction", oninput: (event) => {
      typed = event.target.value;
      clearTimeout(checking);
      checking = setTimeout(() => question.kind === "reading" && send({ do: "check", question: question.id, text: typed }), 250);
    } });
    field.value = typed;
    const tools = question.tools.map((tool) => h("details", {}, h("summary", {}, tool.name), h("pre", {}, tool.schema)));
    return h("div", {}, h("label", {}, question.kind === "reading" ? "The right calls; [] when no call is due" : "The right template", field), found(state),
      stores("store the correction (Ctrl+Enter)", (text) => answer("corrected", text)), ...tools);
  }

  function found(state) {
    if (!state.check) return h("ul.found");
    if (!state.check.length) return h("ul.found.good", {}, h("li", {}, "fits the tool's schema"));
    return h("ul.found.bad", {}, ...state.check.map((one) => h("li", {}, one)));
  }

  const bulkWords = (one) => `${one.count} open questions have a suggestion at or above ${Math.round(one.threshold * 100)}%. A share of them comes back to be looked at; one undo takes all of it back.`;

  function bulk(state) {
    let threshold = state.bulk?.threshold ?? state.threshold;
    const field = h("input", { type: "number", min: "0", max: "1", step: "0.01", value: String(threshold), oninput: (event) => { threshold = event.target.value === "" ? 1 : Number(event.target.value); send({ do: "count", threshold }); } });
    return h("div", {}, h("label", {}, "Accept suggestions from a score of ", field), h("p.count", {}, state.bulk ? bulkWords(state.bulk) : "counting"),
      stores("accept them", () => { send({ do: "bulk", threshold }); after(); }));
  }

  const help = () => h("div", {}, h("dl", {}, ...HELP.flatMap(([key, words]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)])), h("p", {}, button("close", "Esc", close)));

  function disputed(all) {
    const digits = (value) => (value === null ? "–" : value.toFixed(2));
    const numbers = all.agreement.map((one) => h("p", {}, `${one.name} ${digits(one.value)} (${digits(one.low)} to ${digits(one.high)}, n = ${one.n})${one.warning ? ` – ${one.warning}` : ""}`));
    const rows = all.questions.map((one) => h("li", {}, h("p", {}, h("strong", {}, one.asked), ` ${one.about}`),
      h("ul", {}, ...one.said.map((who) => h("li", {}, `${who.annotator}: `, h("strong", {}, who.words), who.more ? ` ${who.more}` : ""))),
      button("settle this one", "", () => { settling = one.id; send({ do: "go", question: one.id }); root.focus(); })));
    return h("article", {}, h("h3", {}, "Disagreements"), ...numbers, all.audit ? h("p", {}, all.audit) : null,
      rows.length ? h("ol", {}, ...rows) : h("p", {}, all.rated ? "Nobody disagrees on what several people rated." : "No question was rated by two people yet."),
      h("p", {}, button("back to the questions", "g", () => send({ do: "open" }))));
  }

  model.on("change:view", draw);
  draw();
  return () => model.off("change:view", draw);
}

export default { render };
