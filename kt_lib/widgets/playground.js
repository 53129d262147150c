// The playground's face: one message, two answers side by side. Every text is put in as text, never as markup.

const SIDES = [["chat", "Chat"], ["agent", "Agent"]];

function render({ model, el }) {
  const view = () => model.get("view");
  const send = (message) => model.send(message);
  const writing = { chat: "", agent: "" };
  let correcting = null; // the id of the answer that is being corrected
  let typed = "";

  const log = h("div.turns", { role: "log", "aria-label": "conversation", tabindex: "0" });
  const live = h("p.said", { role: "status", "aria-live": "polite" });
  const fault = h("p.fault", { role: "alert" });
  const chosen = h("div.chosen");
  const tools = h("details");
  const message = h("textarea", { rows: "2", maxlength: "20000", placeholder: "Say something. Enter sends it, Shift+Enter begins a new line, Escape stops the model.", "aria-label": "message" });
  const go = h("button.go", { type: "button", onclick: say }, "send", h("kbd", {}, "Enter"));
  const stop = h("button", { type: "button", onclick: () => send({ do: "stop" }) }, "stop", h("kbd", {}, "Esc"));
  const clear = h("button", { type: "button", onclick: () => send({ do: "clear" }) }, "new conversation");
  const root = h("section.kt-widget.kt-playground", { tabindex: "-1", "aria-label": "Playground", "data-lm-suppress-shortcuts": "true", onkeydown: keys },
    chosen, tools, log, live, fault, h("div.ask", {}, message, h("div.buttons", {}, go, stop, clear)));
  el.replaceChildren(root);

  function say() {
    const text = message.value;
    if (!text.trim() || view().state !== "ready") return;
    message.value = "";
    writing.chat = writing.agent = "";
    send({ do: "say", text });
  }

  function keys(event) {
    // JupyterLab must not act on what is typed here.
    event.stopPropagation();
    if (event.key === "Escape") { event.preventDefault(); if (correcting) { correcting = null; draw(); } else send({ do: "stop" }); }
    else if (event.target === message && event.key === "Enter" && !event.shiftKey) { event.preventDefault(); say(); }
    else if (event.target.classList.contains("right") && event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); store(); }
  }

  function store() {
    if (!typed.trim()) return;
    send({ do: "judge", id: correcting, verdict: "corrected", text: typed });
    correcting = null;
    message.focus();
  }

  function choice(words, value, options, name) {
    const made = options.map(([key, label]) => h("option", { value: key, selected: key === value }, label));
    return h("label", {}, `${words} `, h("select", { onchange: (event) => choose(name, event.target.value), disabled: view().state === "writing" }, ...made));
  }

  function choose(name, value) {
    const { version, persona, profile } = view();
    send({ do: "choose", version, persona, profile, [name]: value });
  }

  function side(turn, name, title, last) {
    const answer = turn[name];
    const waits = !answer && last && view().state === "writing";
    const parts = answer ? answered(answer) : [h("pre.text", { "data-writing": waits ? name : null }, waits ? writing[name] : ""), waits ? h("p.took", {}, "writing") : h("p.took", {}, "no answer")];
    return h(`div.side.${name}`, { "aria-label": title, "aria-busy": waits ? "true" : "false" }, h("p.name", {}, title), ...parts);
  }

  function answered(answer) {
    const calls = answer.calls.map((call) => h("code.call", {}, call));
    const judged = { right: "said to be right", wrong: "said to be wrong", corrected: "corrected" }[answer.verdict];
    return [
      h("pre.text", {}, answer.text || "(nothing)"), ...calls,
      answer.failure ? h("p.malformed", {}, `cannot be read as a call: ${answer.failure}`) : null,
      h("p.took", {}, answer.took),
      h("div.judge", {}, judge(answer, "right", "this is right"), judge(answer, "wrong", "this is wrong"),
        h("button", { type: "button", onclick: () => { correcting = answer.id; typed = answer.correction || answer.text; draw(); root.querySelector("textarea.right")?.focus(); } }, "here is the right answer"),
        judged ? h("span.chip", {}, judged) : null),
      answer.correction ? h("pre.correction", {}, answer.correction) : null,
      correcting === answer.id ? correction() : null,
    ];
  }

  function judge(answer, verdict, words) {
    return h("button", { type: "button", "aria-pressed": answer.verdict === verdict ? "true" : "false", onclick: () => send({ do: "judge", id: answer.id, verdict }) }, words);
  }

  function correction() {
    const field = h("textarea.right", { rows: "4", maxlength: "20000", "aria-label": "the right answer", oninput: (event) => { typed = event.target.value; } });
    field.value = typed;
    return h("div.correcting", {}, field, h("button", { type: "button", onclick: store }, "store it", h("kbd", {}, "Ctrl+Enter")));
  }

  function draw() {
    const state = view();
    const focus = root.contains(document.activeElement) ? document.activeElement : null;
    const roles = state.personas.map((one) => [one.name, `${one.kind}: ${one.name}`]);
    chosen.replaceChildren(
      choice("model", state.version, state.versions.map((one) => [one, one]), "version"),
      choice("role or persona", state.persona, [["", "none"], ...roles], "persona"),
      choice("profile", state.profile, [["", "none"], ...state.profiles.map((one) => [one, one])], "profile"),
      h("span.state", {}, state.state === "loading" ? "loading the model" : state.state === "failed" ? "no model" : ""));
    tools.replaceChildren(h("summary", {}, `${state.tools.length} tools on offer; calls are shown, never executed`), ...state.tools.map((one) => h("code.call", {}, one)));
    log.replaceChildren(...state.turns.map((turn, at) => h("article", {}, h("p.user", {}, turn.user),
      h("div.sides", {}, ...SIDES.map(([name, title]) => side(turn, name, title, at === state.turns.length - 1))))));
    live.textContent = state.said;
    fault.textContent = state.fault;
    go.disabled = state.state !== "ready";
    stop.disabled = state.state !== "writing";
    clear.disabled = state.state !== "ready";
    if (focus?.classList?.contains("right")) root.querySelector("textarea.right")?.focus();
    else if (focus && !root.contains(focus)) message.focus();
    if (state.state === "writing") log.scrollTop = log.scrollHeight;
  }

  function hear(told) {
    if (!(told.side in writing)) return;
    writing[told.side] += told.piece;
    const place = root.querySelector(`[data-writing="${told.side}"]`);
    if (place) place.textContent = writing[told.side];
  }

  model.on("change:view", draw);
  model.on("msg:custom", hear);
  draw();
  return () => { model.off("change:view", draw); model.off("msg:custom", hear); };
}

export default { render };
