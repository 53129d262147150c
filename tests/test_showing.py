"""Text made fit to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kt_lib.showing import shown, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "plain \u00e4 \u4f60\u597d \U0001f469\u200d\U0001f680",
            "plain \u00e4 \u4f60\u597d \U0001f469\u200d\U0001f680",
        ),
        ("a\r\nb\rc\td", "a\nb\nc\td"),
        ("\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07link\x1b]8;;\x07", "red link"),
        ("\u202egnp.exe", "[U+202E]gnp.exe"),
        ("bell\x07 null\x00", "bell[U+0007] null[U+0000]"),
        ("half \ud800 pair", "half [U+D800] pair"),
    ],
)
def test_what_hides_or_turns_text_is_made_visible(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_a_cut_says_how_much_is_left_out_and_splits_no_secret() -> None:
    text = "x" * 95 + " write to bob@example.com " + "y" * 1000
    cut = shown(text, 108)
    assert "bob" not in cut
    assert cut.endswith("more characters)")
    assert shown("short", 100) == "short"


@given(st.text())
def test_what_is_shown_has_nothing_unseen_and_showing_it_again_changes_nothing(text: str) -> None:
    once = shown(text)
    assert not any((ord(one) < 32 and one not in "\n\t") or 0x202A <= ord(one) <= 0x202E for one in once)
    assert shown(once) == once
