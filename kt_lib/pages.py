"""Pages of executed notebooks: one file, no network, nothing that a chat wrote can be more than text in it."""

from __future__ import annotations

import base64
import functools
import hashlib
import html as entities
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

from kt_lib.artifacts import write_whole
from kt_lib.showing import shown

PLOT = "application/vnd.plotly.v1+json"
HIDDEN_TAGS = frozenset({"machinery", "parameters", "injected-parameters"})
_WIDGET = "application/vnd.jupyter.widget-view+json"
_TAGS = set(
    "a b blockquote br code dd dl dt em h1 h2 h3 h4 h5 h6 hr i li ol p pre s strong sub sup"
    " table tbody td th thead tr ul".split()
)
_TEMPLATES = Path(str(resources.files("kt_lib"))) / "templates"
_LONGEST_TEXT = 200_000
_SCRIPTS = "<!-- scripts -->"
_POLICY = "content-security-policy-of-this-page"


def render_notebook(ipynb: Path, html: Path, title: str | None = None) -> None:
    """Render an executed notebook to one self-contained page at `html`, which is whole or not there.

    Outputs are sanitised and redacted, widgets dropped, cells tagged `machinery` or `parameters` left out unless they
    failed; plotly is embedded once, and only where there is a plot. `title` is the notebook's first heading by default.
    """
    import nbformat
    from nbconvert.exporters.html import HTMLExporter

    raw = nbformat.read(str(ipynb), as_version=4)
    heading, notebook = _prepared(raw)
    exporter = HTMLExporter(
        template_file="page.html.j2",
        extra_template_paths=[str(_TEMPLATES)],
        sanitize_html=True,
        exclude_anchor_links=True,
        filters={"clean_html": _safe_markdown, "figure_json": figure_json, "figure_rows": figure_rows},
    )
    given = raw.metadata.get("papermill", {}).get("parameters", {})
    page = {
        "title": title or heading or ipynb.parent.name,
        "css": stylesheet(),
        "parameters": {shown(str(name), 100): _one_line(value) for name, value in given.items()},
        "scripts": _SCRIPTS,
        "policy": _POLICY,
        "plot": PLOT,
        **_place(html),
    }
    body, _ = exporter.from_notebook_node(notebook, resources={"page": page})
    write_whole(html, _with_scripts(body))


def policy(*scripts: str) -> str:
    """A content-security policy that allows these inline scripts, inline styles and embedded pictures, and no more."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


@functools.cache
def stylesheet(name: str = "house.css") -> str:
    """A style sheet of the house; `house.css` is shared by report and pages."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@functools.cache
def sorting() -> str:
    """The few lines that make tables sortable; without them a table stays as it is."""
    return stylesheet("sort.js").strip()


@functools.cache
def _scripts(plots: bool) -> tuple[tuple[str, ...], str]:
    """The scripts of a page, with plotly and the few lines that draw where there are plots, and the policy for them."""
    if not plots:
        return (sorting(),), policy(sorting())
    from plotly.offline import get_plotlyjs

    scripts = (get_plotlyjs().strip(), stylesheet("draw.js").strip(), sorting())
    return scripts, policy(*scripts)


def _with_scripts(body: str) -> str:
    if not re.search(r'class="plot"|<table', body):
        return body.replace(_POLICY, entities.escape(policy()), 1).replace(_SCRIPTS, "", 1)
    scripts, allowed = _scripts('class="plot"' in body)
    head, _, tail = body.rpartition(_SCRIPTS)
    tags = "".join(f"<script>{script}</script>" for script in scripts)
    return head.replace(_POLICY, entities.escape(allowed), 1) + tags + tail


def _place(html: Path) -> dict[str, Any]:
    """Where a page stands; only inside a run's folder are there a report and an index to go back to."""
    *_, runs, run, step = ("", "", "", *html.absolute().parent.parts)
    in_run = runs == "runs"
    return {"run": run if in_run else "", "step": step, "up": "../../../" if in_run else ""}


# --- what of a notebook is shown -------------------------------------------------------------------------------------


def _prepared(notebook: Any) -> tuple[str, Any]:
    """The first heading, and the notebook with only what may be shown."""
    from nbformat.v4 import new_notebook

    heading, cells = "", []
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", []))
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [one for one in (_output(output) for output in cell.outputs) if one is not None]
            if not HIDDEN_TAGS & tags or any(output.output_type == "error" for output in cell.outputs):
                cell.source = shown(cell.source, _LONGEST_TEXT)
                cells.append(cell)
        elif cell.cell_type == "markdown":
            cell.attachments = {}
            first, _, rest = cell.source.partition("\n")
            if not heading and first.startswith("# "):
                # The page has one main heading, and it stands in the header.
                heading, cell.source = shown(first[2:].strip(), 300), rest
            cells.append(cell)
    return heading, new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})


def _output(output: Any) -> Any:
    """An output with only what is safe to show; None for a widget or an empty one."""
    if output.output_type == "stream":
        output.text = shown(_last_of_bars(_joined(output.text)), _LONGEST_TEXT)
        return output if output.text.strip() else None
    if output.output_type == "error":
        output.ename = shown(output.get("ename", ""), 200)
        output.evalue = shown(output.get("evalue", ""), 2000)
        output.traceback = [shown("\n".join(output.get("traceback", [])), _LONGEST_TEXT)]
        return output
    data = output.get("data", {})
    if _WIDGET in data:
        return None
    output.data, output.metadata = _kept(data), {}
    return output if output.data else None


def _kept(data: Mapping[str, Any]) -> dict[str, Any]:
    """The best form of an output's data that is safe."""
    if isinstance(data.get(PLOT), Mapping):
        return {PLOT: data[PLOT]}
    if "text/html" in data:
        return {"text/html": safe_html(_joined(data["text/html"]))}
    for kind in ("image/png", "image/jpeg"):
        picture = re.sub(r"\s+", "", _joined(data.get(kind, "")))
        if re.fullmatch(r"[A-Za-z0-9+/]+=*", picture):
            return {kind: picture}
    return {"text/plain": shown(_joined(data["text/plain"]), _LONGEST_TEXT)} if "text/plain" in data else {}


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else str(text)


def _last_of_bars(text: str) -> str:
    """A progress bar writes over itself: what stood last is what counts."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _one_line(value: Any) -> str:
    return shown(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), 400)


# --- HTML and plots from outputs -------------------------------------------------------------------------------------


def safe_html(html: str, links: bool = False) -> str:
    """HTML with nothing but structure in it: no attribute but a cell's span (with `links`, web addresses to click too).

    Scripts, styles, pictures and forms go with their content; every text is made fit to be shown.
    """
    import nh3

    attributes = {"td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}}
    clean = nh3.clean(
        html,
        tags=_TAGS if links else _TAGS - {"a"},
        clean_content_tags={"script", "style"},
        attributes=attributes | ({"a": {"href"}} if links else {}),
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer" if links else None,
    )
    rewritten = _Rewriter()
    rewritten.feed(clean)
    rewritten.close()
    return "".join(rewritten.pieces)


def _safe_markdown(html: Any) -> str:
    """The clean form of a notebook's own text, which may link."""
    return safe_html(str(html), links=True)


class _Rewriter(HTMLParser):
    """Writes well-formed HTML again with its texts made fit to be shown."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = "".join(f' {name}="{entities.escape(value or "")}"' for name, value in attrs)
        self.pieces.append(f"<{tag}{said}>")

    def handle_endtag(self, tag: str) -> None:
        self.pieces.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.pieces.append(entities.escape(shown(data, _LONGEST_TEXT)))


_MARKUP = re.compile(r"<(?!/?(?:b|br|i|sub|sup|extra)\s*/?>)")


def figure_json(figure: Mapping[str, Any]) -> str:
    """A plot's data as JSON for a script element that is never run; no text in it can be a link or end the element."""

    def safe(value: Any) -> Any:
        if isinstance(value, str):
            return _MARKUP.sub("&lt;", shown(value, 10_000))
        if isinstance(value, Mapping):
            return {shown(str(key)): safe(one) for key, one in value.items() if key not in ("images", "template")}
        if isinstance(value, list | tuple):
            return [safe(one) for one in value]
        return value

    return script_data({"data": safe(figure.get("data", [])), "layout": safe(figure.get("layout", {}))})


def script_data(value: Any) -> str:
    """A value as JSON for a script element that is never run: nothing in it can end the element."""
    return json.dumps(value, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def figure_rows(figure: Mapping[str, Any], most: int = 40) -> list[tuple[str, str]]:
    """A plot's points in words, (what, how much), for readers who do not see it; at most `most`, evenly picked."""
    rows: list[tuple[str, str]] = []
    for trace in figure.get("data", []):
        name, x, y = str(trace.get("name") or ""), trace.get("x", []), trace.get("y", [])
        if not (isinstance(x, list) and isinstance(y, list)):
            continue
        if trace.get("type") == "heatmap":
            lines = zip(y, trace.get("z", []), strict=False)
            rows += [(f"{down}, {over}", _number(z)) for down, line in lines for over, z in zip(x, line, strict=False)]
        else:
            sideways = trace.get("orientation") == "h" or "error_x" in trace
            said = zip(y, x, strict=False) if sideways else zip(x, y, strict=False)
            rows += [(f"{name} {_number(what)}".strip(), _number(value)) for what, value in said]
    every = max(1, -(-len(rows) // most))
    return [(shown(what, 200), value) for what, value in rows[::every]]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else shown(str(value), 200)
