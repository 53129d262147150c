"""The labelling widget in real JupyterLab: worked by keys alone, nothing lost, nothing run that a chat wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from browser import Lab, OpenNotebook, chromium, lab, set_parameters, workspace  # noqa: F401
from page_checks import ATTACKS, EVERYTHING
from playwright.sync_api import Locator, expect

from kt_lib.label_store import LabelStore
from kt_lib.labels import Label
from kt_lib.ledger import open_ledger

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def an_empty_ledger(lab: Lab) -> Iterator[None]:  # noqa: F811
    for file in (lab.root / "outputs" / "state").glob("ledger.db*"):
        file.unlink()
    set_parameters(lab.root / "notebooks" / "02_label.ipynb", annotator="ann", kinds=["turn"])
    yield
    for page in lab.context.pages:
        page.close()


def stored(lab: Lab) -> dict[str, Label]:  # noqa: F811
    with open_ledger(lab.root / "outputs" / "state") as ledger:
        return {label.question: label for label in LabelStore(ledger).labels("ann")}


def widget(notebook: OpenNotebook) -> Locator:
    """The widget, with the keyboard in it."""
    frame = notebook.page.locator(".kt-labeller").first
    expect(frame.locator(".choice").first).to_be_visible(timeout=30_000)
    frame.focus()
    return frame


def press(notebook: OpenNotebook, key: str, until: str | None = None) -> None:
    """A key, and what the widget then says."""
    notebook.page.keyboard.press(key)
    if until is not None:
        expect(notebook.page.locator(".kt-labeller .said").first).to_contain_text(until, timeout=10_000)


def answered(frame: Locator, count: int) -> None:
    expect(frame.locator(".words")).to_contain_text(f"{count} of ", timeout=10_000)


def test_twenty_items_by_keyboard_alone_outlast_undo_a_reload_and_a_new_kernel(lab: Lab) -> None:  # noqa: F811
    notebook = lab.open("02_label")
    cells = notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length")
    notebook.run_all()
    assert notebook.errors() == []
    frame = widget(notebook)
    for number in range(20):
        press(notebook, "y" if number % 3 else "n")
        answered(frame, number + 1)
    assert len(stored(lab)) == 20
    for left in (19, 18):
        press(notebook, "u", "taken back")
        answered(frame, left)
    assert len(stored(lab)) == 18, "undo takes the stored row back"
    press(notebook, "r", "given back")
    answered(frame, 19)
    press(notebook, "g")
    expect(frame.locator(".answer")).to_have_count(0)
    before = {name: label.answer.verdict for name, label in stored(lab).items()}
    looked_at = frame.locator(".context, .sides").all_inner_texts()
    assert cells == notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length"), (
        "no key reached JupyterLab"
    )

    notebook.page.reload()
    notebook.wait_ready()
    notebook.run_all()
    answered(widget(notebook), 19)
    notebook.restart_and_run_all()
    frame = widget(notebook)
    answered(frame, 19)
    assert frame.locator(".context, .sides").all_inner_texts() == looked_at, "it goes on at the same item"
    assert {name: label.answer.verdict for name, label in stored(lab).items()} == before
    press(notebook, "u", "taken back")
    answered(frame, 18)


def test_a_second_tab_is_told_and_does_not_overwrite(lab: Lab) -> None:  # noqa: F811
    (lab.root / "notebooks" / "also.ipynb").write_text((lab.root / "notebooks" / "02_label.ipynb").read_text())
    first, second = lab.open("02_label"), lab.open("also")
    for notebook in (first, second):
        notebook.run_all()
    one, other = widget(first), widget(second)
    first.page.bring_to_front()
    one.focus()
    press(first, "y", "saved as #1")
    second.page.bring_to_front()
    other.focus()
    press(second, "n")
    expect(other.locator(".fault")).to_contain_text("another tab", timeout=10_000)
    (label,) = stored(lab).values()
    assert label.answer.verdict == "yes"


def test_skip_flag_note_and_suggestions_have_their_keys(lab: Lab) -> None:  # noqa: F811
    notebook = lab.open("02_label")
    notebook.run_all()
    frame = widget(notebook)
    press(notebook, "f", "saved as")
    press(notebook, "m")
    notebook.page.keyboard.type("ask y n u about it")
    press(notebook, "Control+Enter", "saved as #2")
    (label,) = stored(lab).values()
    assert (label.answer.flagged, label.answer.note, label.answer.verdict) == (True, "ask y n u about it", "open")
    press(notebook, "s")
    notebook.page.keyboard.type("cannot tell")
    press(notebook, "Enter", "skipped")
    (label,) = stored(lab).values()
    assert (label.answer.verdict, label.answer.text) == ("skipped", "cannot tell")
    press(notebook, "h")
    expect(frame.locator(".suggested")).to_have_count(0)
    press(notebook, "?")
    expect(frame.locator(".panel")).to_contain_text("flag")
    press(notebook, "Escape")
    expect(frame.locator(".panel")).to_have_count(0)


def test_a_correction_is_checked_against_the_schema_while_it_is_typed(lab: Lab) -> None:  # noqa: F811
    set_parameters(lab.root / "notebooks" / "02_label.ipynb", kinds=["reading"])
    notebook = lab.open("02_label")
    notebook.run_all()
    frame = widget(notebook)
    press(notebook, "c")
    field = frame.locator("textarea.code")
    expect(frame.locator(".found.good")).to_be_visible(timeout=10_000)
    right = json.loads(field.input_value())
    field.fill(json.dumps([{"name": right[0]["name"], "arguments": {"nonsense": 1}}]))
    expect(frame.locator(".found.bad")).to_contain_text("takes no argument 'nonsense'", timeout=10_000)
    press(notebook, "Control+Enter")
    expect(frame.locator(".fault")).to_contain_text("does not hold yet", timeout=10_000)
    assert stored(lab) == {}
    field.fill("[]")
    expect(frame.locator(".found.good")).to_be_visible(timeout=10_000)
    press(notebook, "Control+Enter", "saved as #1")
    (label,) = stored(lab).values()
    assert (label.answer.verdict, label.answer.calls) == ("corrected", ())


def chat(text: str) -> dict[str, Any]:
    """A chat in Open WebUI's form that says the same hostile thing everywhere."""
    ask = {"id": "a", "parentId": None, "childrenIds": ["b"], "role": "user", "content": text, "timestamp": 1}
    answer = {
        "id": "b",
        "parentId": "a",
        "childrenIds": [],
        "role": "assistant",
        "content": text,
        "model": text,
        "timestamp": 2,
    }
    return {
        "id": text[:8],
        "title": text,
        "chat": {"title": text, "history": {"messages": {"a": ask, "b": answer}, "currentId": "b"}},
    }


def test_what_a_chat_says_stays_text_and_asks_for_nothing(lab: Lab) -> None:  # noqa: F811
    attacks = [*ATTACKS, EVERYTHING]
    export = lab.root / "attack.json"
    export.write_text(json.dumps([chat(text) | {"id": f"c{at}"} for at, text in enumerate(attacks)]))
    hostile = [
        "from pathlib import Path",
        "from kt_lib.labelling.questions import questions_from",
        "from kt_lib.records import Conversation",
        "from kt_lib.sources.ingesting import ingest",
        "from kt_lib.sources.store import Store",
        "from kt_lib.widgets.labeller import labelling",
        f"store = Store(Path({str(lab.root / 'attacked')!r}))",
        f"ingest([{str(export)!r}], store)",
        "questions = questions_from(store.read(Conversation), kinds=['turn'])",
        f"labelling(questions, Path({str(lab.root / 'outputs' / 'state')!r}), 'ann')",
    ]
    cell = {
        "cell_type": "code",
        "id": "x",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": "\n".join(hostile),
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    told = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": [cell]}
    (lab.root / "notebooks" / "hostile.ipynb").write_text(json.dumps(told))
    lab.asked.clear()
    notebook = lab.open("hostile")
    ran: list[str] = []
    notebook.page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
    notebook.run_all()
    assert notebook.errors() == []
    frame = widget(notebook)
    total = int(frame.locator(".words").inner_text().split(" of ")[1].split()[0])
    assert total >= 15
    for _ in range(total):
        assert frame.locator("article").locator("script, img, svg, iframe, a, form, style, link, meta").count() == 0
        notebook.page.keyboard.press("j")
        notebook.page.wait_for_timeout(60)
    press(notebook, "m")
    notebook.page.keyboard.insert_text(EVERYTHING[:1500])
    press(notebook, "Control+Enter", "saved as")
    assert ran == []
    assert lab.asked == []
