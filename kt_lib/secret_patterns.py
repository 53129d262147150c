"""Where e-mail addresses, phone, card and account numbers, keys, tokens and passwords stand in a text, in linear time.

Possessive quantifiers and bounded repeats keep a match from being tried again and again: text comes from anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from re import Match

from kt_lib.account_numbers import bank_accounts, card_numbers

Span = tuple[int, int, str]
"""(start, end, kind): kind is email, phone, card, iban, key, token, password or private_key."""


def find_secrets(text: str) -> list[Span]:
    """What must not be seen in `text`, in order; overlapping finds are one, of the kind that was sought first."""
    found: list[Span] = []
    for _ in range(_PASSES):
        more = _find_once(text)
        if not more:
            break
        found += more
        # a find can stand in the way of its neighbour: look again with it out of the way, as its reader will
        text = _without(text, more)
    return sorted(found)


def _without(text: str, spans: list[Span]) -> str:
    pieces, at = [], 0
    for start, end, _ in spans:
        pieces += [text[at:start], "<" * (end - start)]
        at = end
    return "".join([*pieces, text[at:]])


def _find_once(text: str) -> list[Span]:
    found = [
        (start, end, rank, kind)
        for rank, finder in enumerate(_FINDERS)
        for start, end, kind in finder(text)
        if end > start
    ]
    merged: list[tuple[int, int, int, str]] = []
    for start, end, rank, kind in sorted(found):
        if not merged or start >= merged[-1][1]:
            merged.append((start, end, rank, kind))
            continue
        first, last, best, name = merged[-1]
        # `password@host` is no address: what follows a password is left
        if kind != "email" or rank < best:
            merged[-1] = (first, max(last, end), min(best, rank), kind if rank < best else name)
    return [(start, end, kind) for start, end, _, kind in merged]


_PASSES = 16

# --- keys and tokens whose form gives them away ----------------------------------------------------------------------

_PEM_BODY = r"(?:(?!-----)[\s\S]){0,20000}+-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    # cut off without an end: the lines that look like a key's
    rf"(?:{_PEM_BODY}|(?:(?:\s|\\[nr]){{0,4}}+[A-Za-z0-9+/=]{{20,}}+)*+)"
)

_PROVIDER_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255}"  # GitHub
    r"|gl(?:pat|ptt|dt|rt|soat)-[\w-]{20,}+"  # GitLab
    r"|sk-[\w-]{20,}+"  # OpenAI, Anthropic and those who follow them
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}+|whsec_[A-Za-z0-9+/=]{20,}+"  # Stripe
    r"|xox[abeoprs]-[\w-]{10,}+|xapp-[\w-]{10,}+"  # Slack
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}+|GOCSPX-[\w-]{20,}+"  # Google
    r"|hf_[A-Za-z0-9]{30,}+|npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{50,}+"  # Hugging Face, npm, PyPI
    r"|SG\.[\w-]{16,}+\.[\w-]{16,}+|(?:AC|SK)[0-9a-f]{32}(?![A-Za-z0-9])"  # SendGrid, Twilio
    r"|[0-9]{8,10}:AA[\w-]{33}"  # Telegram
    # DigitalOcean, Databricks, Groq, xAI, Replicate, Vault, Grafana, Linear, Notion, Shopify, Tailscale, Perplexity
    r"|do[opr]_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}|gsk_[A-Za-z0-9]{20,}+|xai-[A-Za-z0-9]{20,}+|r8_[A-Za-z0-9]{30,}+"
    r"|hvs\.[\w-]{20,}+|glsa_\w{20,}+|lin_api_[A-Za-z0-9]{20,}+|ntn_[A-Za-z0-9]{20,}+"
    r"|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|tskey-[\w-]{16,}+|pplx-[A-Za-z0-9]{30,}+"
    r")"
)
_SLACK_HOOK = re.compile(r"(?<=hooks\.slack\.com/services/)[\w/]{20,}+")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]++)?")
_BEARER = re.compile(r"(?i:\b(?:bearer|basic)\s{1,4}+)(?P<value>[\w.~+/=-]{16,}+)")
_HEADER = re.compile(
    r"(?i:\b(?:proxy-)?authorization|\bx-api-key|\bx-auth-token|\bprivate-token)[\"'\\]{0,4}+\s{0,3}+:\s{0,3}+[\"'\\]{0,4}+"
    r"(?:(?i:bearer|basic|token|apikey)\s{1,4}+)?(?P<value>[^\s\"'\\<>,;${]{8,}+)"
)
_URL_PASSWORD = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{1,30}+://[^\s:/@\"'<>]{0,256}+:(?P<value>[^\s/\"'<>${]{1,256})@"
)
_BASIC_PAIR = re.compile(r"(?<!\S)(?:-u|--user)[ =]{1,2}+[\"']?[\w.@-]{1,64}+:(?P<value>[^\s\"'<>$]{1,256}+)")


def _private_keys(text: str) -> Iterator[Span]:
    yield from ((found.start(), found.end(), "private_key") for found in _PRIVATE_KEY.finditer(text))


def _provider_keys(text: str) -> Iterator[Span]:
    for found in _PROVIDER_KEY.finditer(text):
        # `sk-` also begins names in kebab case: a key is a run of letters and digits somewhere
        if not found.group().startswith("sk-") or re.search(r"(?=[A-Za-z]*+[0-9])[A-Za-z0-9]{12}", found.group()):
            yield found.start(), found.end(), "key"
    yield from ((found.start(), found.end(), "key") for found in _SLACK_HOOK.finditer(text))


def _tokens(text: str) -> Iterator[Span]:
    yield from ((found.start(), found.end(), "token") for found in _JWT.finditer(text))
    for found in _BEARER.finditer(text):
        if any(character.isdigit() for character in found["value"]):
            yield *found.span("value"), "token"
    yield from ((*found.span("value"), "token") for found in _HEADER.finditer(text))


def _passwords_in_addresses(text: str) -> Iterator[Span]:
    for pattern in (_URL_PASSWORD, _BASIC_PAIR):
        yield from ((*found.span("value"), "password") for found in pattern.finditer(text))


# --- values that are called a secret ---------------------------------------------------------------------------------

_CALLED = (
    r"(?P<name>(?i:pass(?:word|wd|phrase|wort)|(?<![a-z])pwd|(?:api|access|account|private|signing|encryption)[_ -]?key"
    r"|secret(?:[_ -]?(?:access[_ -]?)?key)?|credentials?|(?:auth|access|refresh|session|api|bot)[_ -]?token"
    r"|(?<![a-z])token))"
)
_VALUE = (
    r"(?:\\{0,3}+(?P<quote>[\"'`])(?P<quoted>(?:(?!\\{0,3}+(?P=quote))[^\n]){1,256}+)(?=\\{0,3}(?P=quote))"
    r"|[\"'`]?(?P<bare>[^\s\"'`\\&,;<>(){}\[\]|]{1,256}+))"
)
_ASSIGNED = re.compile(
    rf"{_CALLED}[\"'`\\]{{0,4}}+(?P<by>\s{{0,3}}+(?::=|=>|={{1,3}}+|:|(?i:\bis\b))\s{{0,3}}+){_VALUE}"
)
_OPTION = re.compile(rf"(?<![\w-])--?[a-z-]{{0,20}}?{_CALLED}(?P<by> ){_VALUE}")
_SSHPASS = re.compile(rf"(?P<name>sshpass)\s{{1,3}}+-p(?P<by>\s{{0,3}}+){_VALUE}")
_SECRET_WORDS = ("pass", "pwd", "key", "secret", "token", "credential")
_REFERENCE = re.compile(r"[$%{<]|os\.|env\.|process\.|[*x.•_-]{3,}$|[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)++$")
_NO_SECRET = re.compile(
    r"(?i:null|none|nil|true|false|undefined|string|str|text|integer|int|number|float|boolean|bool|bytes|required|optional"
    r"|hidden|missing|invalid|incorrect|wrong|expired|empty|unset|default|redacted|masked|needed|given|stored)$"
)


def _assigned(text: str) -> Iterator[Span]:
    if not _mentions(text, _SECRET_WORDS):
        return
    for pattern in (_ASSIGNED, _OPTION, _SSHPASS):
        for found in pattern.finditer(text):
            part = "quoted" if found["quoted"] else "bare"
            if _is_value(found, found[part], quoted=part == "quoted"):
                yield *found.span(part), _kind_of(found["name"].lower())


def _mentions(text: str, words: tuple[str, ...]) -> bool:
    """Whether a word stands in `text`: far cheaper than a pattern, and most texts name none."""
    lowered = text.lower()
    return any(word in lowered for word in words)


def _kind_of(name: str) -> str:
    if "pass" in name or "pwd" in name or "credential" in name:
        return "password"
    return "token" if "token" in name else "key"


def _is_value(found: Match[str], value: str, *, quoted: bool) -> bool:
    """Whether what is assigned is a secret itself, and not a word about it, a type, a reference or a call."""
    name, by = found["name"].lower(), found["by"]
    after = found.string[found.end() : found.end() + 1]
    if len(value) < 4 or _NO_SECRET.match(value) or value.lower() == name or _REFERENCE.match(value):
        return False
    if quoted or (by == " " and not value.startswith("-")):
        return True
    if after in ("(", "["):
        return False
    marked = len(value) >= 6 and not value.rstrip(".!?").isalpha()
    if "=" in by:
        # `password = other_name` is code, `PASSWORD=hunter` is a setting
        return marked or by == by.strip()
    return marked if "is" in by.lower() else marked or (len(value) >= 6 and after in ("", "\n", "\r"))


# --- people ----------------------------------------------------------------------------------------------------------

_EMAIL = re.compile(r"(?<![\w.+-])(?P<local>[\w.+-]++)(?:@|%40)(?P<domain>[^\W_][\w-]*+(?:\.[\w-]++)++)")
_NO_DOMAIN_END = re.compile(r"(?i:service|socket|timer|target|mount|slice|scope|path|png|jpe?g|gif|svg|webp)$")


def _emails(text: str) -> Iterator[Span]:
    if "@" not in text and "%40" not in text:
        return
    for found in _EMAIL.finditer(text):
        labels = found["domain"].rstrip("-_").split(".")
        while len(labels) > 1 and not (labels[-1].startswith("xn--") or (labels[-1].isalpha() and len(labels[-1]) > 1)):
            labels.pop()
        version = labels[0].isdigit() and len(labels) > 1 and labels[1].isdigit()
        # git@host is no person, getty@tty1.service a unit, icon@2x.png a file, pkg@1.2.3-rc.beta a version
        if len(labels) > 1 and not version and not _NO_DOMAIN_END.match(labels[-1]) and found["local"] != "git":
            yield found.start(), found.start("domain") + len(".".join(labels)), "email"


_SEPARATED = r"[ .\-/()\u00a0\u2010-\u2013]{0,2}+\d"
_NEAR = (
    r"(?i:(?<![a-z])(?:(?:cell|tele|mobile )?phone|telefon|tel|mobile|cell|fax|sms|whatsapp|call|dial|ring|voicemail"
    r"|text (?=me|us|him|her|them)|handy|móvil)|[☎📞])(?i:[_ -]?(?:number|num|no|nr)(?![a-z]))?+"
    r"[\"'\\\s:.=#]{0,6}+(?i:(?:number|me|us|him|her|them|back|at|on|is|to|my|the|or|new|line)(?![a-z])[\"'\s:.=#]{0,4}+){0,5}+"
)
_EXTENSION = r"(?:,?[ ]?(?i:x|ext\.?|extension)[ ]?\d{1,6})?+"
_PHONES = (  # with the fewest digits that make a phone number of it
    # +CC and the rest
    (re.compile(rf"(?<![\w+.])(?P<number>\(?\+[1-9](?:{_SEPARATED}){{7,14}}{_EXTENSION})(?!\d)"), 8),
    (
        re.compile(
            rf"(?<![\w+.:/-])(?P<number>00[1-9]\d{{0,3}}+[ .\-/()]{{1,2}}+\d(?:{_SEPARATED}){{5,11}})(?!\w|[.:]\d)"
        ),
        9,
    ),
    # North America: (415) 555-0123, 415-555-0123, 415.555.0123 x12
    (
        re.compile(
            rf"(?<![\w.+#-])(?P<number>(?:1[-. ])?(?:\([2-9]\d{{2}}\)[ -]?\d{{3}}[-. ]\d{{4}}"
            rf"|[2-9]\d{{2}}(?P<by>[-.])\d{{3}}(?P=by)\d{{4}}){_EXTENSION})(?!\w|[.-]\d)"
        ),
        9,
    ),
    # a trunk zero: 020 7946 0958, 0171/1234567, 06 12 34 56 78, 0460.308.246, 02079460958
    (re.compile(r"(?<![\w.+:/#-])(?P<number>0[1-9]\d{0,4}(?:[ /-]{1,2}\d{2,8}){1,4})(?!\w|[.:/-]\d| \d{2})"), 9),
    (
        re.compile(
            r"(?<![\w.+#-])(?P<number>0[1-9](?:\.\d\d){4}|0[1-9]\d{1,3}\.\d{3}\.\d{3,4}|0[1-9]\d{8,9})(?!\w|[.:/-]\d)"
        ),
        9,
    ),
    # an area code in brackets: (030) 123456, (0114)4960318, (11) 98765-4321
    (
        re.compile(
            r"(?<![\w.+#-])(?P<number>\((?!19\d\d|20\d\d)\d{2,5}\)[ .-]{0,2}\d{3,9}(?:[ .-]\d{2,4}){0,3})(?!\w|[.-]\d)"
        ),
        9,
    ),
    # Chinese mobiles: 138-1234-5678
    (re.compile(r"(?<![\w.+/#-])(?P<number>1[3-9]\d(?P<by>[- ])\d{4}(?P=by)\d{4})(?!\w|[ .-]\d)"), 9),
)
_PHONE_WORDS = (
    *("phon", "tel", "mob", "móvil", "cell", "fax", "sms", "whats", "call", "dial", "ring", "voice", "text", "handy"),
    *("☎", "📞"),
)
# anything of seven digits or more beside a word for telephones
_NEAR_PHONE = re.compile(rf"{_NEAR}(?P<number>\+?\(?\d(?:{_SEPARATED}){{6,14}}{_EXTENSION})(?!\w|[.:-]\d)")
_NO_PHONE = re.compile(  # dates and IPs
    r"\(?(?:19|20)\d\d([-/.])\d\d?\1\d\d?|\d\d?([-/. ])\d\d?\2(?:19|20)\d\d(?!\d)|\d{1,3}(?:\.\d{1,3}){3}$"
)


def _phones(text: str) -> Iterator[Span]:
    for pattern, fewest in (*_PHONES, (_NEAR_PHONE, 7)) if _mentions(text, _PHONE_WORDS) else _PHONES:
        for found in pattern.finditer(text):
            number = found["number"]
            digits = sum(character.isdigit() for character in re.split("[xeX]", number)[0])
            # a bare +12345678 is a count or a difference; a phone number that short is written in groups
            bare = number[0] == "+" and number[1:].isdigit()
            if (10 if bare else fewest) <= digits <= 15 and not _NO_PHONE.match(number):
                yield *found.span("number"), "phone"


# --- money -----------------------------------------------------------------------------------------------------------


def _money(text: str) -> Iterator[Span]:
    yield from ((*span, "card") for span in card_numbers(text))
    yield from ((*span, "iban") for span in bank_accounts(text))


_FINDERS: tuple[Callable[[str], Iterator[Span]], ...] = (
    _private_keys,
    _passwords_in_addresses,
    _provider_keys,
    _tokens,
    _assigned,
    _money,
    _emails,
    _phones,
)
