"""Calls as the JSON protocol writes them: the one place that decides the text of a right answer."""

from __future__ import annotations

import json
from collections.abc import Sequence

from kt_lib.records import ToolCall


def write_calls(calls: Sequence[ToolCall]) -> str:
    """One object `{"tool": ..., "params": {...}}` for one call, a JSON list of them for several."""
    objects = [{"tool": call.name, "params": call.arguments} for call in calls]
    return json.dumps(objects[0] if len(objects) == 1 else objects, ensure_ascii=False)
