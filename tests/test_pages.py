"""Pages of notebooks: what is shown, what is left out, and texts that stay texts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from page_checks import ATTACKS, EVERYTHING, Seen, loads

from kt_lib.figures import failure_classes
from kt_lib.pages import PLOT, figure_json, figure_rows, render_notebook, safe_html, sorting

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def code(source: str, *outputs: Any, tags: tuple[str, ...] = ()) -> Any:
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def html_output(html: str) -> Any:
    return new_output("execute_result", {"text/html": html, "text/plain": "x"}, execution_count=1)


def printed(text: str, name: str = "stdout") -> Any:
    return new_output("stream", name=name, text=text)


def plot(title: str = "Failures", name: str = "wrong_key") -> Any:
    drawn = json.loads(failure_classes({name: (9, 2)}, title).to_json())
    return new_output("display_data", {PLOT: drawn})


def rendered(folder: Path, *cells: Any, **metadata: Any) -> str:
    """The page of a notebook with these cells."""
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=list(cells), metadata=metadata), folder / "notebook.ipynb")
    render_notebook(folder / "notebook.ipynb", folder / "page.html")
    return (folder / "page.html").read_text(encoding="utf-8")


def without_scripts(page: str) -> str:
    return re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def test_a_page_tells_its_notebook_with_the_first_heading_as_its_title(tmp_path: Path) -> None:
    page = rendered(tmp_path, new_markdown_cell("# What then?\n\n**Reads** `tasks`."), code("1 + 1", printed("two")))
    seen = Seen(page)
    assert "<title>What then?</title>" in page
    assert [tag for tag, _ in seen.elements].count("h1") == 1
    assert "two" in seen.text
    assert {"header", "main", "footer"} <= {tag for tag, _ in seen.elements}


def test_machinery_and_parameters_are_left_out_and_the_given_values_shown(tmp_path: Path) -> None:
    page = rendered(
        tmp_path,
        code("secret_setup()", tags=("machinery",)),
        code("seed = 1", tags=("parameters",)),
        code("seed = 2", tags=("injected-parameters",)),
        code("shown()"),
        papermill={"parameters": {"seed": 2, "prompts": ["strict"]}},
    )
    text = Seen(page).text
    assert "secret_setup" not in text
    assert "seed = " not in text
    assert "shown()" in text
    assert '["strict"]' in text


def test_a_failed_cell_is_shown_even_where_its_kind_is_hidden(tmp_path: Path) -> None:
    failed = new_output(
        "error", ename="ValueError", evalue="no \x1b[31mluck", traceback=["\x1b[0;31mline 1\x1b[0m", "x"]
    )
    text = Seen(rendered(tmp_path, code("open_step()", failed, tags=("machinery",)))).text
    assert "open_step()" in text
    assert "no luck" in text
    assert "line 1" in text


def test_a_step_with_nothing_to_do_says_so_calmly(tmp_path: Path) -> None:
    skipped = new_output("error", ename="StepSkipped", evalue="no local weights", traceback=["Nothing to do here"])
    page = rendered(tmp_path, code("step.skip(reason)", skipped))
    assert "Nothing to do here: no local weights" in Seen(page).text
    assert 'role="alert"' not in page


def test_widgets_go_and_of_a_progress_bar_only_the_end_stays(tmp_path: Path) -> None:
    widget = new_output(
        "display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}, "text/plain": "bar"}
    )
    page = rendered(
        tmp_path, code("go()", widget, printed("1%\r50%\r100%\ndone", "stderr")), widgets={"x": {"state": {}}}
    )
    text = Seen(page).text
    assert "widget-view" not in page
    assert "model_id" not in page
    assert "bar" not in text
    assert "50%" not in text
    assert "100%\ndone" in text


def test_plotly_stands_in_a_page_once_and_only_where_there_is_a_plot(tmp_path: Path) -> None:
    plain = rendered(tmp_path / "a", code("1", printed("x")))
    drawn = rendered(tmp_path / "b", code("1", plot()), code("2", plot("Other")))
    assert len(plain) < 100_000
    assert 4_000_000 < len(drawn.encode()) < 6_000_000
    assert drawn.count("plotly.js v") == 1
    assert drawn.count('class="plot"') == 2


def test_only_the_two_scripts_written_here_may_run(tmp_path: Path) -> None:
    page = rendered(tmp_path, code("1", plot()))
    policy = next(attrs["content"] for tag, attrs in Seen(without_scripts(page)).elements if attrs.get("http-equiv"))
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    allowed = policy.partition("script-src ")[2].partition(";")[0]
    assert allowed.split() == [f"'sha256-{digest}'" for digest in digests]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in allowed


def test_a_plots_values_stand_beside_it_in_words(tmp_path: Path) -> None:
    seen = Seen(without_scripts(rendered(tmp_path, code("1", plot()))))
    assert "before wrong key" in seen.text
    figure = next(attrs for tag, attrs in seen.elements if attrs.get("class") == "plot")
    assert figure["role"] == "img"
    assert figure["aria-label"]


def test_many_points_are_thinned_for_the_table() -> None:
    spec = {"data": [{"type": "scatter", "name": "loss", "x": list(range(1000)), "y": [0.5] * 1000}]}
    rows = figure_rows(spec)
    assert 20 <= len(rows) <= 40
    assert rows[0] == ("loss 0", "0.5")


def test_links_back_stand_only_where_they_lead_somewhere(tmp_path: Path) -> None:
    inside = Seen(rendered(tmp_path / "outputs" / "runs" / "r1" / "03_difference", code("1", printed("x"))))
    outside = Seen(rendered(tmp_path / "scratch", code("1", printed("x"))))
    links = [attrs["href"] for tag, attrs in inside.elements if tag == "a"]
    assert links == ["../../../index.html", "../../../report.html"]
    assert not [tag for tag, _ in outside.elements if tag == "a"]


def test_pictures_stay_as_data_and_a_false_picture_goes(tmp_path: Path) -> None:
    good = new_output("display_data", {"image/png": PIXEL})
    bad = new_output("display_data", {"image/png": 'x" onerror="alert(1)'})
    drawing = new_output("display_data", {"image/svg+xml": "<svg onload=alert(1)></svg>"})
    seen = Seen(rendered(tmp_path, code("1", good, bad, drawing)))
    pictures = [attrs for tag, attrs in seen.elements if tag == "img"]
    assert len(pictures) == 1
    assert pictures[0]["alt"]
    assert loads(seen) == []


def test_tables_keep_their_form_and_lose_every_attribute_but_spans() -> None:
    table = (
        '<style scoped>td{}</style><table class="dataframe" border="1">'
        '<tr><td colspan="2" onclick="x()">a &lt; b</td></tr></table>'
    )
    assert safe_html(table) == '<table><tbody><tr><td colspan="2">a &lt; b</td></tr></tbody></table>'


def test_secrets_are_taken_out_of_every_kind_of_output(tmp_path: Path) -> None:
    secret = "write to bob@example.com"
    page = rendered(
        tmp_path,
        code("1", printed(secret), html_output(f"<p>{secret}</p>"), new_output("display_data", {"text/plain": secret})),
        code("2", plot(secret, secret), new_output("error", ename="E", evalue=secret, traceback=[secret])),
        papermill={"parameters": {"source": secret}},
    )
    assert "bob@example.com" not in page
    assert page.count("EMAIL_1") >= 7


def test_a_secret_that_stands_escaped_in_html_cannot_break_it() -> None:
    tags = [tag for tag, _ in Seen(safe_html("<p>password=&quot;hunter2secret&quot; &lt;b&gt;</p>")).elements]
    assert tags == ["p"]


@pytest.mark.parametrize("attack", [*ATTACKS, EVERYTHING], ids=range(len(ATTACKS) + 1))
def test_no_output_becomes_more_than_text(tmp_path: Path, attack: str) -> None:
    def page(said: str, name: str) -> Seen:
        escaped = said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        made = rendered(
            tmp_path / name,
            code(
                "print(x)",
                printed(said),
                printed(said, "stderr"),
                html_output(f"<table><tr><td>{escaped}</td></tr></table>"),
            ),
            code("x", new_output("display_data", {"text/plain": said})),
            code("fig", plot(said, said)),
            code("raise", new_output("error", ename=said, evalue=said, traceback=[said])),
            papermill={"parameters": {"source": said}},
        )
        return Seen(without_scripts(made))

    seen, same = page(attack, "a"), page("harmless", "b")
    assert seen.shape == same.shape
    assert loads(seen) == []


@pytest.mark.parametrize("attack", [*ATTACKS, EVERYTHING], ids=range(len(ATTACKS) + 1))
def test_raw_html_and_markdown_from_data_can_neither_run_nor_load(tmp_path: Path, attack: str) -> None:
    markdown = new_output("display_data", {"text/markdown": attack, "text/plain": attack})
    page = rendered(tmp_path, new_markdown_cell(attack), code("x", html_output(attack), markdown))
    seen = Seen(page.replace(f"<script>{sorting()}</script>", ""))
    assert loads(seen) == []
    hrefs = [attrs.get("href", "") for tag, attrs in seen.elements if tag == "a"]
    assert all(href == "" or href.startswith(("http://", "https://", "mailto:")) for href in hrefs)
    assert not {tag for tag, _ in seen.elements} & {"script", "svg", "iframe", "form", "input", "math", "base"}


def test_data_of_a_plot_cannot_end_its_element_or_hold_markup_but_breaks() -> None:
    said = figure_json(
        {"data": [{"name": "</script><a href='javascript:x'>"}], "layout": {"title": {"text": "a<br>b"}}}
    )
    assert "<" not in said
    back = json.loads(said)
    assert back["layout"]["title"]["text"] == "a<br>b"
    assert "<a" not in back["data"][0]["name"]


def test_the_page_is_whole_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "notebook.ipynb").write_text("{ no notebook")
    with pytest.raises(nbformat.reader.NotJSONError):
        render_notebook(tmp_path / "notebook.ipynb", tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["notebook.ipynb"]
