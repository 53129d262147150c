"""BFCL's rules for whether one call is a right one: name, parameters, types and accepted values.

Follows the public checker of the Berkeley Function Calling Leaderboard (`ast_checker.py`, bfcl-eval 2026.3.23) rule by
rule, its oddities included; where that checker would crash on an odd value, the value simply does not match.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from kt_lib.calls.failures import EXTRA_ARGUMENT, MISSING_ARGUMENT, WRONG_ARGUMENT, WRONG_TOOL

_TYPES: dict[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "number": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "object": dict,
    "any": str,
}
_IGNORED = str.maketrans("", "", " ,./-_*^")


class Signature(NamedTuple):
    """What a tool takes: JSON Schemas by parameter (BFCL's type names are understood too), and the required ones."""

    properties: Mapping[str, Any]
    required: Sequence[str]


class Call(NamedTuple):
    """A call as plain values; Python text may hold values that JSON has not, such as tuples."""

    name: str
    arguments: Mapping[Any, Any]


class Fault(NamedTuple):
    """Why a call is not the accepted one."""

    failure: str
    message: str
    parameter: str | None = None


def one_name(name: str) -> str:
    """Dotted and underscored names are one: `math.sqrt` and `math_sqrt`."""
    return name.replace(".", "_")


def signature_of(parameters: Mapping[str, Any]) -> Signature:
    """The signature in a JSON Schema of arguments."""
    properties = parameters.get("properties")
    required = parameters.get("required")
    return Signature(
        properties if isinstance(properties, Mapping) else {},
        [name for name in required if isinstance(name, str)] if isinstance(required, list) else [],
    )


@lru_cache(maxsize=65536)
def plain(text: str) -> str:
    """Text as BFCL compares it: without spaces and `,./-_*^`, lower case, `'` as `"`."""
    return text.translate(_IGNORED).lower().replace("'", '"')


def call_fault(call: Call, name: str, accepted: Mapping[str, Any], signature: Signature | None) -> Fault | None:
    """What makes `call` differ from the accepted call, or None when it is right.

    `accepted` gives the accepted values by parameter; `""` among them means the parameter may be left out. Without a
    signature (the tool is not described) the accepted parameters are taken as the described ones, of any type.
    """
    if one_name(call.name) != one_name(name):
        return Fault(WRONG_TOOL, f"calls `{call.name}` where `{name}` is right")
    signature = signature or Signature({parameter: {} for parameter in accepted}, ())
    for parameter in signature.required:
        if parameter not in call.arguments:
            return Fault(MISSING_ARGUMENT, f"`{name}` needs `{parameter}`", parameter)
    for parameter, value in call.arguments.items():
        if parameter not in signature.properties or parameter not in accepted:
            return Fault(EXTRA_ARGUMENT, f"`{name}` is given `{parameter}`, which is not expected", str(parameter))
        complaint = _value_fault(value, _as_list(accepted[parameter]), signature.properties[parameter])
        if complaint:
            return Fault(WRONG_ARGUMENT, f"`{parameter}` of `{name}` {complaint}", parameter)
    for parameter, values in accepted.items():
        if parameter not in call.arguments and "" not in _as_list(values):
            return Fault(MISSING_ARGUMENT, f"`{name}` needs `{parameter}` here", parameter)
    return None


def match(
    calls: Sequence[Call],
    accepted: Sequence[tuple[str, Mapping[str, Any]]],
    signatures: Mapping[str, Signature],
) -> tuple[list[int], list[tuple[int, list[Fault]]]]:
    """Pair accepted calls with calls as BFCL does: each accepted call in turn takes the first free call that fits.

    Greedy: it does not look for a better assignment. Returns the positions of the calls taken, and for each accepted
    call left over its position with the faults of the calls that were still free. `signatures` is by `one_name`.
    """
    taken: list[int] = []
    left: list[tuple[int, list[Fault]]] = []
    for position, (name, values) in enumerate(accepted):
        faults: list[Fault] = []
        for index, call in enumerate(calls):
            if index in taken:
                continue
            fault = call_fault(call, name, values, signatures.get(one_name(name)))
            if fault is None:
                taken.append(index)
                break
            faults.append(fault)
        else:
            left.append((position, faults))
    return taken, left


def _value_fault(value: Any, accepted: list[Any], schema: Any) -> str | None:
    label, expected, item = _expected_type(schema)
    if expected is list and label == "tuple" and type(value) is tuple:
        value = list(value)
    if expected is float and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            return "is too large a number"
    first = next((type(answer) for answer in accepted if answer != ""), None)
    if not _has_type(value, accepted, expected, item, first):
        return f"is {_shown(value)}, not of type {label}"
    # BFCL: an accepted value of another type than described is a variable, compared as it stands
    if first is not None and first is not expected:
        matches = value in accepted
    elif expected is dict:
        matches = any(_dict_fits(value, answer) for answer in accepted if answer != "")
    elif expected is list and item is dict:
        matches = any(_dicts_fit(value, answers) for answers in accepted)
    elif expected is str:
        matches = plain(value) in [plain(answer) for answer in accepted if type(answer) is str]
    elif expected is list:
        matches = _each_plain(value) in [_each_plain(answer) for answer in accepted if _sized(answer)]
    else:
        matches = value in accepted
    return None if matches else f"is {_shown(value)}; accepted: {_shown(accepted)}"


def _has_type(value: Any, accepted: list[Any], expected: type, item: type | None, first: type | None) -> bool:
    if type(value) is expected:
        return item is None or any(_items_have_type(value, answer, item) for answer in accepted)
    return first is not None and type(value) is first


def _items_have_type(value: Any, answer: Any, item: type) -> bool:
    if type(answer) is not list:  # BFCL looks into lists only: `""` among the answers lets every item type pass
        return True
    first = next((type(element) for element in answer if element != ""), None)
    return all(type(element) is item or (first is not None and type(element) is first) for element in value)


def _expected_type(schema: Any) -> tuple[str, type, type | None]:
    label = _type_name(schema)
    expected = _TYPES[label]
    item = None
    if expected is list and isinstance(schema.get("items"), Mapping):
        item = _TYPES[_type_name(schema["items"])]
    return label, expected, item


def _type_name(schema: Any) -> str:
    named = schema.get("type") if isinstance(schema, Mapping) else None
    if isinstance(named, list):
        named = next((name for name in named if name != "null"), None)
    return named if isinstance(named, str) and named in _TYPES else "any"


def _dict_fits(value: Any, answer: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(answer, dict):
        return False
    for key, held in value.items():
        if key not in answer or not _sized(answer[key]) or isinstance(answer[key], dict):
            return False
        standard = plain(held) if type(held) is str else held
        if standard not in _each_plain(answer[key]):
            return False
    return all(key in value or (_sized(options) and "" in options) for key, options in answer.items())


def _dicts_fit(values: Any, answers: Any) -> bool:
    if not isinstance(values, list) or not _sized(answers) or len(values) != len(answers):
        return False
    return all(_dict_fits(value, answer) for value, answer in zip(values, answers, strict=True))


def _each_plain(values: Any) -> list[Any]:
    return [plain(value) if type(value) is str else value for value in values]


def _sized(value: Any) -> bool:
    # "" is an empty sequence to BFCL, so that an empty list is right where the parameter may be left out
    return isinstance(value, list | tuple | str | dict)


def _as_list(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _shown(value: Any) -> str:
    text = re.sub(r"\s+", " ", repr(value))
    return text if len(text) <= 200 else text[:197] + "..."
