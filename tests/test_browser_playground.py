"""The playground in real JupyterLab: both sides answer, what is said of them is kept, and words stay words."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from browser import Lab, chromium, lab, workspace  # noqa: F401
from page_checks import ATTACKS, EVERYTHING
from playwright.sync_api import expect

from kt_lib.interactions import InteractionStore
from kt_lib.labels import Interaction
from kt_lib.ledger import open_ledger

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def no_page_left(lab: Lab) -> Iterator[None]:  # noqa: F811
    yield
    for page in lab.context.pages:
        page.close()


def stored(lab: Lab) -> list[Interaction]:  # noqa: F811
    with open_ledger(lab.root / "outputs" / "state") as ledger:
        return InteractionStore(ledger).all()


def test_a_message_is_answered_on_both_sides_and_a_correction_is_kept(lab: Lab) -> None:  # noqa: F811
    notebook = lab.open("playground")
    notebook.run_all()
    assert notebook.errors() == []
    frame = notebook.page.locator(".kt-playground").first
    send = frame.get_by_role("button", name="send")
    expect(send).to_be_enabled(timeout=60_000)
    print(f"usable {time.monotonic() - notebook.started:.1f} s after opening")
    frame.locator("textarea").first.fill("how full is the disk on web-42?")
    notebook.page.keyboard.press("Enter")
    expect(frame.locator(".said")).to_have_text("both have answered", timeout=60_000)
    for side in ("chat", "agent"):
        expect(frame.locator(f".side.{side} pre.text").first).not_to_be_empty()
        expect(frame.locator(f".side.{side} .took").first).to_contain_text("tokens")
    frame.locator(".side.agent").get_by_role("button", name="this is wrong").click()
    expect(frame.locator(".said")).to_have_text("stored: wrong")
    frame.locator(".side.chat").get_by_role("button", name="here is the right answer").click()
    frame.locator("textarea.right").fill("Run `df -h` on `web-42`.")
    notebook.page.keyboard.press("Control+Enter")
    expect(frame.locator(".said")).to_have_text("stored: corrected")
    by_mode = {one.mode: one for one in stored(lab)}
    assert (by_mode["agent"].verdict, by_mode["chat"].verdict) == ("wrong", "corrected")
    assert by_mode["chat"].correction == "Run `df -h` on `web-42`."
    assert by_mode["chat"].model.startswith("embedded")


def test_a_hostile_message_and_a_hostile_model_run_nothing(lab: Lab) -> None:  # noqa: F811
    hostile = [
        "from pathlib import Path",
        "from kt_lib.interactions import InteractionStore",
        "from kt_lib.ledger import open_ledger",
        "from kt_lib.records import Completion",
        "from kt_lib.widgets.playground import Choices, PlaygroundWidget",
        f"TEXTS = {list(ATTACKS)!r}",
        "class Hostile:",
        "    name = digest = TEXTS[0]",
        "    def stream(self, request, on_text):",
        "        text = ' '.join(TEXTS)",
        "        [on_text(word) for word in TEXTS]",
        "        return Completion(text=text)",
        f"store = InteractionStore(open_ledger(Path({str(lab.root / 'outputs' / 'state')!r})))",
        "PlaygroundWidget(Choices(versions=(TEXTS[0],)), lambda _: Hostile(), store)",
    ]
    source = "\n".join(hostile)
    cell = {"cell_type": "code", "id": "x", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    told = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": [cell]}
    (lab.root / "notebooks" / "hostile_model.ipynb").write_text(json.dumps(told))
    lab.asked.clear()
    notebook = lab.open("hostile_model")
    ran: list[str] = []
    notebook.page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
    notebook.run_all()
    assert notebook.errors() == []
    frame = notebook.page.locator(".kt-playground").first
    expect(frame.get_by_role("button", name="send")).to_be_enabled(timeout=30_000)
    frame.locator("textarea").first.fill(EVERYTHING)
    notebook.page.keyboard.press("Enter")
    expect(frame.locator(".said")).to_have_text("both have answered", timeout=30_000)
    expect(frame.locator(".turns")).to_contain_text("<script>alert(1)</script>")
    assert frame.locator("script, img, svg, iframe, a, form, style, link, meta").count() == 0
    assert ran == []
    assert lab.asked == []
