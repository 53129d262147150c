"""Read calls in Python's form, `[f(a=1), g(b="x")]`, as BFCL's own decoder does; nothing is ever evaluated."""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable
from typing import Any

from kt_lib.calls.rules import Call

_SHAPE = re.compile(r"\[?\s*[A-Za-z_][\w.]*\s*\(")
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_LARGEST = 10**15


class Unreadable(ValueError):
    """A call was begun and cannot be read."""


def parse_calls(text: str) -> list[Call] | None:
    """The calls of a text that is nothing but calls in Python's form; None where it does not begin like one.

    Accepted: one call, several separated by commas, with or without a list around them; quotes around the whole. Values
    are literals, signed numbers, arithmetic on numbers, bare names (read as their text, as BFCL does) and calls.
    Positional arguments are dropped, as BFCL drops them. Raises Unreadable where it begins like a call and is none.
    """
    cleaned = text.strip().strip("'").strip()
    if not _SHAPE.match(cleaned):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a model's text is not our warning
        try:
            body = ast.parse(cleaned, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise Unreadable(f"the call cannot be parsed: {str(error)[:120]}") from None
    elements = body.elts if isinstance(body, ast.List | ast.Tuple) else [body]
    if not all(isinstance(element, ast.Call) for element in elements):
        raise Unreadable("something among the calls is no call")
    try:
        return [_call(element) for element in elements if isinstance(element, ast.Call)]
    except (RecursionError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise Unreadable(f"a value cannot be read: {error}") from None


def _call(node: ast.Call) -> Call:
    parts: list[str] = []
    at = node.func
    while isinstance(at, ast.Attribute):
        parts.append(at.attr)
        at = at.value
    if not isinstance(at, ast.Name):
        raise Unreadable("what is called is no name")
    arguments: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise Unreadable("`**` among the arguments")
        arguments[keyword.arg] = _value(keyword.value)
    return Call(".".join([at.id, *reversed(parts)]), arguments)


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant():
            return "..." if node.value is Ellipsis else node.value
        case ast.List():
            return [_value(element) for element in node.elts]
        case ast.Tuple():
            return tuple(_value(element) for element in node.elts)
        case ast.Dict():
            return {_key(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
        case ast.UnaryOp() | ast.BinOp():
            return _number(node)
        case ast.Name():
            return node.id
        case ast.Subscript():
            return ast.unparse(node)
        case ast.Call() if not node.keywords:
            return ast.unparse(node)
        case ast.Call():
            inner = _call(node)
            return {inner.name: inner.arguments}
    raise Unreadable(f"a value is written as {type(node).__name__}")


def _key(node: ast.expr | None) -> Any:
    if node is None:
        raise Unreadable("`**` in a dict")
    return _value(node)


def _number(node: ast.expr) -> Any:
    """Arithmetic on plain numbers, bounded, and joined texts and lists; everything else is no literal."""
    match node:
        case ast.UnaryOp(op=ast.USub()):
            return -_number(node.operand)
        case ast.UnaryOp(op=ast.UAdd()):
            return +_number(node.operand)
        case ast.BinOp():
            apply = _OPERATORS.get(type(node.op))
            left, right = _number(node.left), _number(node.right)
            numbers = isinstance(left, int | float) and isinstance(right, int | float)
            joined = isinstance(node.op, ast.Add) and type(left) is type(right) and isinstance(left, str | list)
            if apply is None or not (numbers or joined):
                raise Unreadable(f"cannot work out {ast.unparse(node)[:60]}")
            if numbers and (
                max(abs(left), abs(right)) > _LARGEST or (isinstance(node.op, ast.Pow) and abs(right) > 64)
            ):
                raise Unreadable("a number is too large")
            return apply(left, right)
        case ast.Constant() if isinstance(node.value, int | float | str):
            return node.value
        case ast.List():
            return _value(node)
    raise Unreadable(f"a value is written as {ast.unparse(node)[:60]}")
