"""The public `bfcl-eval` checker and decoder, where that package is installed, without its heavy companions."""

from __future__ import annotations

import importlib
import sys
import types
from collections import defaultdict
from typing import Any


def reference() -> tuple[Any, Any]:
    """`(ast_checker, default_decode_ast_prompting)` of bfcl-eval; ImportError where it is not installed.

    The modules that pull in model clients and Java and JavaScript parsers are stood in for: Python rules use neither.
    """
    importlib.import_module("bfcl_eval")
    dotted = types.SimpleNamespace(underscore_to_dot=False)
    stand_ins = {
        "bfcl_eval.constants.model_config": {"MODEL_CONFIG_MAPPING": defaultdict(lambda: dotted)},
        "bfcl_eval.model_handler.parser.java_parser": {"parse_java_function_call": None},
        "bfcl_eval.model_handler.parser.js_parser": {"parse_javascript_function_call": None},
        "tenacity": {"retry": None, "retry_if_exception_message": None, "retry_if_exception_type": None,
                     "stop_after_attempt": None, "wait_random_exponential": None},
    }  # fmt: skip
    for name, held in stand_ins.items():
        module = types.ModuleType(name)
        module.__dict__.update(held)
        sys.modules.setdefault(name, module)
    checker = importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker").ast_checker
    decode = importlib.import_module("bfcl_eval.model_handler.utils").default_decode_ast_prompting
    return checker, decode


def is_valid(checker: Any, question: dict[str, Any], output: Any, truth: list[Any], category: str) -> bool | None:
    """bfcl-eval's verdict; None where it breaks down on the output."""
    language = importlib.import_module("bfcl_eval.constants.enums").Language.PYTHON
    try:
        return bool(checker(question["function"], output, truth, language, category, "any")["valid"])
    except Exception:  # whatever the reference runs into is its own affair
        return None
