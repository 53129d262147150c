"""Check calls against what a task accepts: one checker for prose, JSON and native calls alike."""

from __future__ import annotations

from collections.abc import Sequence

from kt_lib.calls.failures import (
    ABSTAINED,
    EXTRA_ARGUMENT,
    LOOP,
    MISSING_ARGUMENT,
    MISSING_DISCOVERY_STEP,
    UNKNOWN_TOOL,
    UNNEEDED_CALL,
    WRONG_ARGUMENT,
    WRONG_COUNT,
    WRONG_TOOL,
)
from kt_lib.calls.rules import Call, Fault, Signature, call_fault, match, one_name, signature_of
from kt_lib.records import AcceptedCall, Check, Outcome, Record, ToolCall, ToolSpec, canonical_json

_NEAREST_FIRST = (WRONG_ARGUMENT, MISSING_ARGUMENT, EXTRA_ARGUMENT, WRONG_TOOL)
_DISCOVERS = ("list", "get", "find", "search", "discover", "show", "lookup", "look_up", "describe", "query")


class Judgement(Record):
    """The verdict on one answer."""

    calls: tuple[ToolCall, ...] = ()
    """Calls read from it."""
    outcome: Outcome
    """The verdict."""
    failure: str | None = None
    """Failure class when not correct (`failures`)."""
    detail: str | None = None
    """What exactly was wrong, in words."""
    parameter: str | None = None
    """The parameter at fault, for argument failures."""


def check_calls(calls: Sequence[ToolCall], check: Check, tools: Sequence[ToolSpec]) -> Judgement:
    """Judge readable calls by BFCL's rules for names, arguments, types and values.

    exact: these calls in any order and no other (greedy, as BFCL pairs them); ordered: these in this order and no
    other; all: these, others allowed; any: at least one of them; never: no call. No call where one is due is
    `abstained`. Where there are several accepted calls and none fits, the nearest one names the failure.
    """
    calls = tuple(calls)
    if check.rule == "never":
        if not calls:
            return Judgement(outcome="correct")
        return Judgement(
            calls=calls, outcome="wrong", failure=UNNEEDED_CALL, detail=f"calls `{calls[0].name}` where none is due"
        )
    if not calls:
        return Judgement(outcome="abstained", failure=ABSTAINED, detail="no call where one is due")
    fault = _fault(calls, check, tools)
    if fault is None:
        return Judgement(calls=calls, outcome="correct")
    return Judgement(
        calls=calls, outcome="wrong", failure=fault.failure, detail=fault.message, parameter=fault.parameter
    )


def _fault(calls: tuple[ToolCall, ...], check: Check, tools: Sequence[ToolSpec]) -> Fault | None:
    made = [Call(call.name, call.arguments) for call in calls]
    accepted = [(entry.name, entry.arguments) for entry in check.accepted]
    signatures = {one_name(tool.name): signature_of(tool.parameters) for tool in tools}
    counted = check.rule in ("exact", "ordered")
    if check.rule == "ordered" and len(made) == len(accepted):
        faults = [
            call_fault(call, name, values, signatures.get(one_name(name)))
            for call, (name, values) in zip(made, accepted, strict=True)
        ]
        left = [(position, [fault]) for position, fault in enumerate(faults) if fault]
    else:
        taken, left = match(made, accepted, signatures)
        if check.rule == "any" and taken:
            return None
    if not left and (not counted or len(made) == len(accepted)):
        return None
    return _name_fault(calls, check, tools, [fault for _, faults in left for fault in faults], signatures)


def _name_fault(
    calls: tuple[ToolCall, ...],
    check: Check,
    tools: Sequence[ToolSpec],
    faults: list[Fault],
    signatures: dict[str, Signature],
) -> Fault:
    if repeated := _repeated(calls, check):
        return repeated
    unknown = next((call.name for call in calls if tools and one_name(call.name) not in signatures), None)
    if unknown is not None:
        return Fault(UNKNOWN_TOOL, f"calls `{unknown}`, which was not offered")
    if discovery := _left_out_discovery(calls, check.accepted, signatures):
        return discovery
    if check.rule in ("exact", "ordered") and len(calls) != len(check.accepted):
        return Fault(WRONG_COUNT, f"{len(calls)} calls where {len(check.accepted)} are right")
    faults.sort(key=lambda fault: _NEAREST_FIRST.index(fault.failure))
    return faults[0] if faults else Fault(WRONG_COUNT, f"{len(check.accepted)} calls are right, one is missing")


def _repeated(calls: tuple[ToolCall, ...], check: Check) -> Fault | None:
    seen: dict[str, int] = {}
    for call in calls:
        key = canonical_json([one_name(call.name), call.arguments])
        seen[key] = seen.get(key, 0) + 1
    most = max(seen.values())
    if most >= 3 and len(calls) > len(check.accepted):
        return Fault(LOOP, f"the same call {most} times")
    return None


def _left_out_discovery(
    calls: tuple[ToolCall, ...], accepted: tuple[AcceptedCall, ...], signatures: dict[str, Signature]
) -> Fault | None:
    """A tool that takes nothing and finds out what there is was due first, and another was called in its place."""
    called = {one_name(call.name) for call in calls}
    for entry in accepted:
        name = one_name(entry.name)
        signature = signatures.get(name)
        finds_out = name.lower().startswith(_DISCOVERS) and signature is not None and not signature.required
        if finds_out and name not in called:
            return Fault(MISSING_DISCOVERY_STEP, f"`{entry.name}` comes first and was left out")
    return None
