"""The pages in Chromium: hostile words run nothing and ask for nothing, cells lead to cases, tables sort by keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browser import chromium, watched  # noqa: F401
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from page_checks import ATTACKS, EVERYTHING
from playwright.sync_api import Browser, Page, expect
from report_records import run_of

from kt_lib.audience import for_audience
from kt_lib.figures import failure_classes
from kt_lib.history import RunRecord, StepInRun
from kt_lib.pages import PLOT, render_notebook
from kt_lib.report import report_text
from kt_lib.report_index import write_index
from kt_lib.report_page import report_html

pytestmark = pytest.mark.browser


class Opened:
    """A page that was opened, with everything it ran or asked for that it should not."""

    def __init__(self, page: Page, asked: list[str], ran: list[str]) -> None:
        self.page, self.asked, self.ran = page, asked, ran


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Any]:  # noqa: F811
    contexts = []

    def open_(file: Path, **options: Any) -> Opened:
        context, asked = watched(chromium, **options)
        contexts.append(context)
        page, ran = context.new_page(), list[str]()
        page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
        page.on("popup", lambda popup: ran.append(popup.url))
        page.on("framenavigated", lambda frame: None if frame.url.startswith("file:") else ran.append(frame.url))
        page.on("pageerror", lambda error: ran.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_timeout(300)
        return Opened(page, asked, ran)

    yield open_
    for context in contexts:
        context.close()


def everything_clicked(page: Page) -> None:
    """Every fold opened, every head of a table pressed, every text gone over by the mouse."""
    page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.evaluate("() => document.querySelectorAll('button.sort').forEach(one => one.click())")
    page.evaluate(
        "() => document.querySelectorAll('pre, td, th, p').forEach(one =>"
        " one.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})))"
    )
    page.wait_for_timeout(200)


@pytest.mark.parametrize("audience", ["public", "team", "private"])
def test_a_report_of_hostile_words_runs_nothing_and_asks_for_nothing(
    opened: Any, tmp_path: Path, audience: Any
) -> None:
    for at, attack in enumerate([EVERYTHING, *(ATTACKS if audience == "private" else ())]):
        file = tmp_path / f"{at}.html"
        file.write_text(report_html(for_audience(run_of(12, attack), audience)))
        seen = opened(file)
        everything_clicked(seen.page)
        assert (seen.ran, seen.asked) == ([], []), attack
        assert seen.page.locator("script").count() == 1
        assert seen.page.locator("iframe, img, form, base, object, embed").count() == 0


def test_a_step_page_of_hostile_words_runs_nothing_and_draws_its_plot(opened: Any, tmp_path: Path) -> None:
    plot = json.loads(failure_classes({"wrong_key": (9, 2), EVERYTHING[:300]: (3, 1)}, EVERYTHING[:200]).to_json())
    outputs = [
        new_output(
            "execute_result", {"text/html": f"<table><tr><td>{EVERYTHING}</td></tr></table>"}, execution_count=1
        ),
        new_output("stream", name="stdout", text=EVERYTHING),
        new_output("display_data", {PLOT: plot}),
    ]
    cells = [new_markdown_cell(f"# A page\n\n{EVERYTHING}"), new_code_cell("shown()", outputs=outputs)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebook.ipynb")
    render_notebook(tmp_path / "notebook.ipynb", tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 6_000_000
    seen = opened(tmp_path / "page.html")
    expect(seen.page.locator(".plot svg.main-svg").first).to_be_visible(timeout=10_000)
    everything_clicked(seen.page)
    assert (seen.ran, seen.asked) == ([], [])


def runs(outputs: Path, *told: str) -> None:
    """Finished runs whose reports and parameters say what is told."""
    for at, said in enumerate(told):
        folder = outputs / "runs" / f"2026010{at + 1}-000000-000"
        step = folder / "14_report"
        step.mkdir(parents=True)
        data = run_of(24, said)
        (step / "report.json").write_text(report_text(data))
        (step / "report.html").write_text(report_html(data))
        record = data.steps[0].model_copy(
            update={"notebook": "14_report", "run": folder.name, "parameters": {"title": said, "same": 1}}
        )
        (step / "step.json").write_text(record.model_dump_json())
        place = StepInRun(notebook="14_report", status="finished", folder=f"{folder.name}/14_report")
        run = RunRecord(
            id=folder.name, name=said or "n", runbook="runbook.yaml", overrides={"title": said}, status="finished",
            steps=(place,), created=1e9 + at, finished=1e9 + at + 1,
        )  # fmt: skip
        (folder / "run.json").write_text(run.model_dump_json())
    write_index(outputs)


def test_two_runs_stand_side_by_side_with_what_differs_marked(opened: Any, tmp_path: Path) -> None:
    runs(tmp_path, "first title", "second title")
    page = opened(tmp_path / "index.html").page
    expect(page.locator("#compared")).to_be_visible()
    changed = page.locator("#compared table").nth(1)
    expect(changed.locator("tr.other")).to_have_count(1)
    expect(changed).to_contain_text("14_report.title")
    expect(changed).to_contain_text("first title")
    expect(page.locator("#compared")).to_contain_text("is no paired comparison")
    page.locator('input[name="b"]').last.focus()
    page.keyboard.press("Space")
    expect(page.locator("#compared table")).to_have_count(1)
    expect(page.locator("#compared")).to_contain_text("The same parameters")


def test_an_index_of_hostile_words_runs_nothing(opened: Any, tmp_path: Path) -> None:
    runs(tmp_path, EVERYTHING, "harmless")
    seen = opened(tmp_path / "index.html")
    everything_clicked(seen.page)
    assert (seen.ran, seen.asked) == ([], [])
    expect(seen.page.locator("#compared")).to_contain_text("alert(1)")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    (tmp_path / "report.html").write_text(report_html(run_of(120, "")))
    return tmp_path / "report.html"


def test_a_cell_of_the_matrix_leads_to_its_cases(opened: Any, report: Path) -> None:
    page = opened(report).page
    link = page.locator('a[href="#before-chat_only"]')
    link.focus()
    page.keyboard.press("Enter")
    case = page.locator("#before-chat_only .case").first
    expect(case).to_be_visible()
    expect(case).to_be_in_viewport()
    expect(case.locator(".side.chat .chip")).to_have_text("right")


def test_a_table_sorts_by_numbers_with_the_keyboard_and_says_how(opened: Any, report: Path) -> None:
    page = opened(report).page
    table = page.locator("#groups table").first
    head = table.locator("thead th.num").first
    head.locator("button").focus()
    column = "td:nth-child(2)"
    for order in ("ascending", "descending"):
        page.keyboard.press("Enter")
        expect(head).to_have_attribute("aria-sort", order)
        numbers = [float(text) for text in table.locator(f"tbody {column}").all_inner_texts()]
        assert numbers == sorted(numbers, reverse=order == "descending")


def test_the_report_is_drawn_soon_and_stays_readable_without_its_script(opened: Any, report: Path) -> None:
    page = opened(report).page
    drawn = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime")
    done = page.evaluate("() => performance.getEntriesByType('navigation')[0].loadEventEnd")
    print(f"first paint after {drawn:.0f} ms, whole after {done:.0f} ms, {report.stat().st_size / 1e3:.0f} kB")
    assert done < 10_000
    plain = opened(report, java_script_enabled=False).page
    expect(plain.locator("#groups table").first).to_be_visible()
    assert plain.locator("button.sort").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_enough_in_both_themes(opened: Any, report: Path, scheme: str) -> None:
    page = opened(report, color_scheme=scheme).page
    page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true; })")
    faint = page.evaluate(Path(__file__).with_name("contrast.js").read_text())
    assert faint == []
