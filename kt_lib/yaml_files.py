"""YAML files in which no key stands twice: PyYAML takes the last of two equal keys without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from kt_lib.errors import SetupError


class _OneKeyLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, what: str, error: type[SetupError]) -> Any:
    """What a YAML file holds; `error`, with the line, where it is missing, no YAML or says a thing twice.

    `what` names the kind of file in the message (`runbook`, `recipe`).
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _OneKeyLoader)
    except FileNotFoundError:
        raise error(f"there is no {what} {path}") from None
    except yaml.MarkedYAMLError as fault:
        line = f" line {fault.problem_mark.line + 1}" if fault.problem_mark else ""
        raise error(f"{path}{line}: {fault.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise error(f"{path} is no YAML: {fault}") from None
