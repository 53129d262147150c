(() => {
  // Two runs side by side, from the data in this page; every text is put in as text.
  const runs = JSON.parse(document.getElementById("runs-data").textContent);
  const place = document.getElementById("compared");
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const rows = (first, second, onlyOther) =>
    [...new Set([...Object.keys(first), ...Object.keys(second)])]
      .map((name) => [name, first[name] ?? "\u2013", second[name] ?? "\u2013"])
      .filter(([, a, b]) => !onlyOther || a !== b);
  const table = (title, first, second, lines) => {
    const made = make("table");
    made.append(make("caption", title));
    const head = make("tr");
    head.append(make("th", "", { scope: "col" }), make("th", `A  ${first.when}`, { scope: "col" }), make("th", `B  ${second.when}`, { scope: "col" }));
    const top = make("thead");
    top.append(head);
    const body = make("tbody");
    for (const [name, a, b] of lines) {
      const row = make("tr", undefined, a === b ? {} : { class: "other" });
      row.append(make("th", name, { scope: "row" }), make("td", a), make("td", b));
      body.append(row);
    }
    made.append(top, body);
    return made;
  };
  const chosen = (side) => document.querySelector(`input[name="${side}"]:checked`)?.value;
  const draw = () => {
    const [first, second] = ["a", "b"].map((side) => runs.find((run) => run.id === chosen(side)));
    if (!first || !second) return;
    const changed = rows(first.parameters, second.parameters, true);
    place.replaceChildren(
      table("Figures and verdicts; what differs is marked.", first, second, rows(first.facts, second.facts, false)),
      changed.length ? table("Parameters that differ.", first, second, changed) : make("p", "The same parameters."),
      make("p", `Side by side is no paired comparison. Where both attempted the same tasks, kt report --compare ${first.id} ${second.id} pairs them.`, { class: "small" }),
    );
    place.hidden = false;
  };
  for (const input of document.querySelectorAll("input.pick")) input.addEventListener("change", draw);
  document.getElementById("compare").hidden = runs.length < 2;
  for (const one of document.querySelectorAll(".picks")) one.hidden = runs.length < 2;
  draw();
})();
