"""Right BFCL outputs made from answer keys, and seeded mutations of them; used to compare checkers."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

Output = list[dict[str, Any]]


def right_output(answers: list[dict[str, Any]], question: dict[str, Any], rng: random.Random) -> Output:
    """One of the outputs that the answer key accepts."""
    functions = {function["name"]: function["parameters"] for function in question["function"]}
    output = []
    for entry in answers:
        name, accepted = next(iter(entry.items()))
        properties = functions.get(name, {}).get("properties", {})
        arguments = {}
        for parameter, values in accepted.items():
            if not values or ("" in values and (rng.random() < 0.4 or values == [""])):
                continue
            value = copy.deepcopy(rng.choice([value for value in values if value != ""] or values))
            arguments[parameter] = _settle(value, properties.get(parameter, {}), rng)
        output.append({name: arguments})
    return output


def _settle(value: Any, schema: dict[str, Any], rng: random.Random) -> Any:
    """An accepted value of a dict lists its own accepted values: choose among them."""
    if isinstance(value, dict) and schema.get("type") == "dict":
        chosen = {}
        for key, options in value.items():
            if not isinstance(options, list):
                chosen[key] = options
            elif not ("" in options and rng.random() < 0.4):
                chosen[key] = rng.choice([option for option in options if option != ""] or [""])
        return chosen
    if isinstance(value, list) and schema.get("items", {}).get("type") == "dict":
        return [_settle(element, {"type": "dict"}, rng) for element in value]
    return value


def mutate(output: Output, question: dict[str, Any], rng: random.Random) -> tuple[Output, list[str]]:
    """The output after zero to three mutations, with their names."""
    changed = copy.deepcopy(output)
    names = []
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3))):
        mutation = rng.choice(MUTATIONS)
        mutation(changed, question, rng)
        names.append(mutation.__name__)
    return changed, names


def _call(output: Output, rng: random.Random) -> tuple[dict[str, Any], str, dict[str, Any]] | None:
    if not output:
        return None
    entry = rng.choice(output)
    name, arguments = next(iter(entry.items()))
    return entry, name, arguments


def _replace(output: Output, rng: random.Random, change: Callable[[Any], Any]) -> None:
    found = _call(output, rng)
    if found and found[2]:
        parameter = rng.choice(sorted(found[2]))
        found[2][parameter] = change(found[2][parameter])


def _inside(value: Any, rng: random.Random, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, list) and value:
        at = rng.randrange(len(value))
        return [*value[:at], _inside(value[at], rng, change), *value[at + 1 :]]
    if isinstance(value, dict) and value:
        key = rng.choice(sorted(value))
        return {**value, key: _inside(value[key], rng, change)}
    return change(value)


def other_value(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    values = (
        0,
        1,
        -1,
        5,
        10,
        0.5,
        1e300,
        10**20,
        10**400,
        "",
        "x",
        True,
        False,
        None,
        [],
        {},
        ["a"],
        {"a": 1},
        [[1]],
        [{}],
    )
    _replace(output, rng, lambda value: copy.deepcopy(rng.choice(values)))


def shifted(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    def shift(value: Any) -> Any:
        if isinstance(value, bool):
            return not value
        if isinstance(value, int | float) and abs(value) < 1e15:
            return value + rng.choice((1, -1, 0.5, 0))
        return value + "s" if isinstance(value, str) else value

    _replace(output, rng, lambda value: _inside(value, rng, shift))


def other_type(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    def convert(value: Any) -> Any:
        if isinstance(value, bool):
            return rng.choice((int(value), str(value), str(value).lower()))
        if isinstance(value, int | float) and abs(value) < 1e15:
            return rng.choice((str(value), float(value), int(value), bool(value), [value], (value,)))
        if isinstance(value, str):
            return rng.choice(([value], {"value": value}, value.encode("utf-8", "replace").decode(), len(value)))
        if isinstance(value, list):
            return rng.choice((tuple(value), str(value), value[0] if value else None, {"items": value}))
        return rng.choice((str(value), [value], None))

    def top(value: Any) -> Any:
        return convert(value) if rng.random() < 0.6 else _inside(value, rng, convert)

    _replace(output, rng, top)


def respelled(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    def spell(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        ways = (
            value.upper(), value.title(), value.replace(" ", ""), value.replace(" ", "_"), value.replace(",", ""),
            value.replace(" ", "-"), f" {value} ", value + ".", value.replace("'", '"'), value.replace("e", "é"),
            value + "!", f"**{value}**", value.replace("/", "."), value + "\n", value.replace(" ", "\u00a0"),
            value.replace("-", "–"), value + "^", value.replace('"', "'"), value.swapcase(), value + "İ",
        )  # fmt: skip
        return rng.choice(ways)

    _replace(output, rng, lambda value: _inside(value, rng, spell))


def dropped_parameter(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    found = _call(output, rng)
    if found and found[2]:
        del found[2][rng.choice(sorted(found[2]))]


def extra_parameter(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    found = _call(output, rng)
    if found:
        described = [name for function in question["function"] for name in function["parameters"]["properties"]]
        found[2].setdefault(rng.choice([*described, "extra"]), rng.choice((1, "x", True, [1], 2.0)))


def renamed_parameter(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    found = _call(output, rng)
    if found and found[2]:
        name = rng.choice(sorted(found[2]))
        found[2][rng.choice((name + "s", name.upper(), name.replace("_", ""), "value"))] = found[2].pop(name)


def other_function(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    found = _call(output, rng)
    if found:
        entry, name, arguments = found
        offered = [function["name"] for function in question["function"]]
        del entry[name]
        entry[rng.choice([*offered, name + "_x", name.upper(), "f"])] = arguments


def reordered_calls(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    rng.shuffle(output)


def duplicated_call(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    if output:
        output.insert(rng.randrange(len(output) + 1), copy.deepcopy(rng.choice(output)))


def doubled_in_place(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    if len(output) > 1:
        first, second = rng.sample(range(len(output)), 2)
        output[first] = copy.deepcopy(output[second])


def dropped_call(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    if output:
        del output[rng.randrange(len(output))]


def reordered_list(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    def turn(value: Any) -> Any:
        return value[::-1] if isinstance(value, list | tuple) else value

    _replace(output, rng, turn)


def longer_list(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    def lengthen(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return value[:-1] if rng.random() < 0.5 else [*value, copy.deepcopy(value[-1]) if value else 1]

    _replace(output, rng, lengthen)


def as_tuple(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    def convert(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    _replace(output, rng, lambda value: convert(value) if rng.random() < 0.5 else _inside([value], rng, convert)[0])


def changed_keys(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    def change(value: Any) -> Any:
        if isinstance(value, list) and value:
            return [change(value[0]), *value[1:]]
        if not isinstance(value, dict) or not value:
            return value
        key = rng.choice(sorted(value))
        ways = ({**value, "extra": 1}, {k: v for k, v in value.items() if k != key}, {**value, key: [value[key]]})
        return rng.choice(ways)

    _replace(output, rng, change)


def swapped_values(output: Output, question: dict[str, Any], rng: random.Random) -> None:
    found = _call(output, rng)
    if found and len(found[2]) > 1:
        first, second = rng.sample(sorted(found[2]), 2)
        found[2][first], found[2][second] = found[2][second], found[2][first]


MUTATIONS: tuple[Callable[[Output, dict[str, Any], random.Random], None], ...] = (
    other_value, shifted, other_type, respelled, dropped_parameter, extra_parameter, renamed_parameter, other_function,
    reordered_calls, duplicated_call, doubled_in_place, dropped_call, reordered_list, longer_list, as_tuple,
    changed_keys, swapped_values,
)  # fmt: skip


def as_text(output: Output) -> str:
    """The output as BFCL writes it: `[f(a=1), g(b="x")]`."""
    calls = [
        f"{name}({', '.join(f'{parameter}={value!r}' for parameter, value in arguments.items())})"
        for entry in output
        for name, arguments in entry.items()
    ]
    return f"[{', '.join(calls)}]"
