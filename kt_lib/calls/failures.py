"""The names of the ways an attempt can fail (product.md D5), and which of them make an answer malformed."""

from __future__ import annotations

from typing import Final

# a call was begun and cannot be read by the protocol as given
WRONG_KEY: Final = "wrong_key"
TOOL_NONE: Final = "tool_none"
PROSE_AROUND_JSON: Final = "prose_around_json"
CODE_FENCE: Final = "code_fence"
PYTHON_DICT: Final = "python_dict"
INVALID_JSON: Final = "invalid_json"

# a readable call that is not the right one
UNKNOWN_TOOL: Final = "unknown_tool"
WRONG_TOOL: Final = "wrong_tool"
MISSING_ARGUMENT: Final = "missing_argument"
EXTRA_ARGUMENT: Final = "extra_argument"
WRONG_ARGUMENT: Final = "wrong_argument"
WRONG_COUNT: Final = "wrong_count"
LOST_CONTEXT: Final = "lost_context"
INVENTED_COMMAND: Final = "invented_command"
MISSING_DISCOVERY_STEP: Final = "missing_discovery_step"
UNNEEDED_CALL: Final = "unneeded_call"
LOOP: Final = "loop"

# no call
ABSTAINED: Final = "abstained"
INSTRUCTIONS_INSTEAD_OF_ACTION: Final = "instructions_instead_of_action"
REFUSAL: Final = "refusal"
EMPTY_REPLY: Final = "empty_reply"

# no answer
TIMEOUT: Final = "timeout"
SERVER_ERROR: Final = "server_error"

MALFORMED: Final = frozenset({WRONG_KEY, TOOL_NONE, PROSE_AROUND_JSON, CODE_FENCE, PYTHON_DICT, INVALID_JSON})

DESCRIPTIONS: Final[dict[str, str]] = {
    WRONG_KEY: "a key of the protocol is missing, misnamed or made up (`action` for `tool`)",
    TOOL_NONE: "the tool is `none` where a plain answer was meant",
    PROSE_AROUND_JSON: "words or tags stand around the call, or the call stands in the text",
    CODE_FENCE: "the call stands in a code fence",
    PYTHON_DICT: "the call is a Python dict, not JSON",
    INVALID_JSON: "the call is broken or cut off",
    UNKNOWN_TOOL: "the tool called was not offered",
    WRONG_TOOL: "another tool was due",
    MISSING_ARGUMENT: "an argument is missing",
    EXTRA_ARGUMENT: "an argument was not expected",
    WRONG_ARGUMENT: "an argument has a wrong value or type",
    WRONG_COUNT: "too few or too many calls",
    LOST_CONTEXT: "what was said in an earlier turn was forgotten",
    INVENTED_COMMAND: "a command line was made up for what a tool does",
    MISSING_DISCOVERY_STEP: "the step that finds out what there is was left out",
    UNNEEDED_CALL: "a tool was called where none was due",
    LOOP: "the same call or line over and over",
    ABSTAINED: "a clean answer without the call that was due",
    INSTRUCTIONS_INSTEAD_OF_ACTION: "says how to do it instead of doing it",
    REFUSAL: "declines, or says it is not able to",
    EMPTY_REPLY: "nothing was answered",
    TIMEOUT: "no answer within the time limit",
    SERVER_ERROR: "the server failed",
}
"""What each class means, in words for tables and reports."""
