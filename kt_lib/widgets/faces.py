"""The JavaScript and the style that widgets are drawn with; they ship with the package, nothing is built or fetched."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
STYLE = (_HERE / "widgets.css").read_text(encoding="utf-8")
"""Shared by all widgets, for light and dark."""


def face(name: str) -> str:
    """A widget's JavaScript, with what all of them draw with before it."""
    return "\n".join((_HERE / file).read_text(encoding="utf-8") for file in ("elements.js", name))
