"""Where numbers of payment cards and bank accounts (IBAN) stand in a text: by their form and their check digits.

A number counts only with its issuer's beginning and length and a check that holds: Luhn's for cards (ISO/IEC 7812-1,
annex B: of ten numbers nine fail), modulo 97 for IBANs (ISO 13616, ISO 7064: of ninety-seven ninety-six fail). So
ordinary long numbers, ids and hashes stay, but for one made-up number of 16 digits in about forty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_CARD = re.compile(
    r"(?<![\w.+#/-])(?:"
    # 4-4-4-4: Visa, Mastercard, Discover, JCB, UnionPay
    r"(?=4|5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|35[2-8]|6011|62|64[4-9]|65)"
    r"\d{4}(?P<by>[ \u00a0-]?)\d{4}(?P=by)\d{4}(?P=by)\d{4}"
    # 4-6-5: American Express; 4-6-4: Diners Club
    r"|3[47]\d{2}(?P<amex>[ \u00a0-]?)\d{6}(?P=amex)\d{5}|3[0689]\d{2}(?P<diners>[ \u00a0-]?)\d{6}(?P=diners)\d{4}"
    r")(?!\w|[./-]\w)"
)
_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24"
    " FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32"
    " LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22"
    " SA24 SC31 SE24 SI19 SK24 SM27 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
"""Letters of each country in the registry of IBANs, and how many characters its numbers have."""


def _iban(country: str, length: int) -> str:
    fours, rest = divmod(length - 4, 4)
    end = rf"[ \u00a0]?[A-Z0-9]{{{rest}}}" if rest else ""
    return rf"{country}\d\d(?:[ \u00a0]?[A-Z0-9]{{4}}){{{fours}}}{end}"


_IBAN = re.compile(
    rf"(?<![A-Za-z0-9])(?:{'|'.join(_iban(one[:2], int(one[2:])) for one in _LENGTHS.split())})(?![A-Za-z0-9])"
)


def card_numbers(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each number of a payment card."""
    return (found.span() for found in _CARD.finditer(text) if _passes_luhn(found.group()))


def bank_accounts(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each IBAN in capitals, together or in groups of four."""
    return (found.span() for found in _IBAN.finditer(text) if _passes_97(found.group()))


def _passes_luhn(number: str) -> bool:
    digits = [int(one) for one in number if one.isdigit()]
    doubled = (sum(divmod(2 * one, 10)) for one in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _passes_97(number: str) -> bool:
    plain = "".join(number.split())
    return int("".join(str(int(one, 36)) for one in plain[4:] + plain[:4])) % 97 == 1
