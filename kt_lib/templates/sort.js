(() => {
  // Tables sort by a click or a key on a column's head; without this script they stay as they were written.
  const number = (text) => {
    const found = text.replace(/[\u2212\u2013]/g, "-").replace(/,/g, "").match(/^\s*[<>]?\s*([+-]?\d+(?:\.\d+)?)/);
    return found ? Number(found[1]) : null;
  };
  const said = (row, at) => (row.cells[at]?.dataset.value ?? row.cells[at]?.textContent ?? "").trim();
  const compare = (first, second) => {
    const [a, b] = [number(first), number(second)];
    if (a !== null && b !== null) return a - b;
    if ((a === null) !== (b === null)) return a === null ? 1 : -1;
    return first.localeCompare(second);
  };
  for (const table of document.querySelectorAll("table")) {
    const heads = [...(table.tHead?.rows[table.tHead.rows.length - 1]?.cells ?? [])];
    const body = table.tBodies[0];
    if (!body || body.rows.length < 3 || table.matches(".matrix") || table.querySelector("td[colspan], td[rowspan]")) continue;
    heads.forEach((head, at) => {
      if (!head.textContent.trim() || head.querySelector(".hidden")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].filter((row) => !row.matches(".sum"));
        const last = [...body.rows].filter((row) => row.matches(".sum"));
        const sorted = rows.map((row, place) => [said(row, at), place, row]);
        sorted.sort((a, b) => (down ? -1 : 1) * compare(a[0], b[0]) || a[1] - b[1]);
        body.append(...sorted.map((one) => one[2]), ...last);
      });
    });
  }
})();
