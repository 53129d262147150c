(function () {
  "use strict";
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  function ink() { return getComputedStyle(document.body).getPropertyValue("--ink-2").trim(); }
  function draw(div) {
    var spec = JSON.parse(document.getElementById(div.id + "-data").textContent);
    var layout = spec.layout;
    layout.font = Object.assign({}, layout.font, { color: ink() });
    layout.autosize = true;
    delete layout.width;
    if (layout.title && layout.title.text) { div.setAttribute("aria-label", layout.title.text.replace(/<[^>]*>/g, " ")); }
    Plotly.newPlot(div, spec.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
  }
  var plots = Array.prototype.slice.call(document.querySelectorAll(".plot"));
  plots.forEach(draw);
  dark.addEventListener("change", function () {
    plots.forEach(function (div) { Plotly.relayout(div, { "font.color": ink() }); });
  });
})();
