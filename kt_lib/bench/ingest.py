"""How fast `kt ingest` reads an Open WebUI export, against a streaming JSON reader that does nothing else."""

from __future__ import annotations

import html
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_WORDS = (
    "the server answers slowly since this morning please check what the disk of web01 says and tell me how full it is "
    "I looked at the log café naïve Größe 東京 🙂 then restart nginx on db-2 with care because people are working "
).split()
_CHILD = "import sys; from kt_lib.bench.ingest import child; child(*sys.argv[1:])"


def measure(megabytes: float = 40) -> dict[str, float]:
    """Rates (MB/s, chats/s) of an ingest into an empty store and of the same again, with a process's peak memory in MB.

    Each reader runs in a process of its own on the same synthetic export; `ratio_to_bare_reader` is the ingest's rate
    over that of a bare `ijson.items` loop in the same run (1 would mean that ingesting costs no more than reading).
    """
    with tempfile.TemporaryDirectory() as folder:
        export, store = Path(folder) / "chat-export-0.json", Path(folder) / "store"
        chats = write_export(export, megabytes)
        size = export.stat().st_size / 1e6
        bare, _ = _run("bare", export, store)
        first, peak = _run("ingest", export, store)
        again, peak_again = _run("ingest", export, store)
    return {
        "megabytes": size,
        "chats": float(chats),
        "mb_per_s": size / first,
        "chats_per_s": chats / first,
        "again_mb_per_s": size / again,
        "bare_mb_per_s": size / bare,
        "ratio_to_bare_reader": bare / first,
        "peak_mb": max(peak, peak_again),
    }


def _run(what: str, export: Path, store: Path) -> tuple[float, float]:
    """Seconds (start-up and imports left out) and peak memory in MB of a process that reads the export."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, what, str(export), str(store)], check=True, capture_output=True, text=True
    )
    seconds, peak = json.loads(done.stdout)
    return float(seconds), float(peak)


def child(what: str, export: str, store: str) -> None:
    """What the measured process does: read `export` and write [seconds, peak MB] to stdout."""
    seconds = _bare(export) if what == "bare" else _ingest(export, store)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps([seconds, kilobytes / 1024]))


def _bare(export: str) -> float:
    import ijson

    start = time.perf_counter()
    with open(export, "rb") as stream:
        for _ in ijson.items(stream, "item", use_float=True):
            pass
    return time.perf_counter() - start


def _ingest(export: str, store: str) -> float:
    from kt_lib.sources.ingesting import ingest
    from kt_lib.sources.store import Store

    start = time.perf_counter()
    ingest([export], Store(Path(store)))
    return time.perf_counter() - start


def write_export(path: Path, megabytes: float, seed: int = 0) -> int:
    """Write a synthetic UI export of about this size: regenerations, calls in both dialects, reasoning, ratings, edits.

    Returns the number of chats.
    """
    dice = random.Random(seed)
    chats = written = 0
    with path.open("w", encoding="utf-8") as out:
        out.write("[")
        while written < megabytes * 1e6:
            # Open WebUI writes text as UTF-8, not as escapes.
            text = json.dumps(_chat(dice, chats), ensure_ascii=False)
            out.write(("," if chats else "") + text)
            written += len(text.encode())
            chats += 1
        out.write("]")
    return chats


def _chat(dice: random.Random, number: int) -> dict[str, Any]:
    messages: dict[str, dict[str, Any]] = {}
    parent, start = None, 1_750_000_000 + number * 600
    for turn in range(dice.randint(3, 12)):
        asked = _message(dice, messages, parent, "user", start + turn * 30, content=_prose(dice, 10, 60))
        parent = asked["id"]
        answers = [_answer(dice, messages, parent, start + turn * 30 + 9) for _ in range(1 + (dice.random() < 0.1))]
        parent = answers[-1]["id"]
    identity = _uuid(dice)
    blob: dict[str, Any] = {
        "id": identity,
        "title": "New Chat",
        "models": ["qwen2.5:7b"],
        "params": {},
        "tags": [],
        "files": [],
    }
    blob |= {"history": {"messages": messages, "currentId": parent}, "messages": [], "timestamp": start * 1000}
    times = {"created_at": start, "updated_at": start + 600, "archived": False, "pinned": False}
    return {"id": identity, "user_id": "u", "title": "New Chat", "chat": blob, "meta": {"tags": ["ops"]}, **times}


def _answer(dice: random.Random, messages: dict[str, Any], parent: str, second: int) -> dict[str, Any]:
    text, kind = _prose(dice, 40, 250), dice.random()
    extra: dict[str, Any] = {"model": "qwen2.5:7b", "modelName": "Qwen", "done": True, "usage": {"total_tokens": 321}}
    if kind < 0.15:
        arguments = html.escape(json.dumps(json.dumps({"agent_id": "web01", "command": "df -h"})))
        result = html.escape(json.dumps("/dev/sda1 40G 31G 9G 78% /"))
        head = f'<details type="tool_calls" done="true" id="{_uuid(dice)}" name="remote_bash"'
        call = f'{head} arguments="{arguments}" result="{result}">\n<summary>Tool Executed</summary>\n</details>\n'
        text = call + text
    elif kind < 0.3:
        called = _uuid(dice)
        extra["output"] = [
            {"type": "function_call", "call_id": called, "name": "bash", "arguments": '{"command": "df -h"}'},
            {"type": "function_call_output", "call_id": called, "output": [{"type": "input_text", "text": "78%"}]},
            {"type": "message", "content": [{"type": "output_text", "text": text}]},
        ]
    elif kind < 0.45:
        thought = "\n".join(f"> {_prose(dice, 8, 12)}" for _ in range(6))
        head = '<details type="reasoning" done="true" duration="4">\n<summary>Thought</summary>'
        text = f"{head}\n{thought}\n</details>\n{text}"
    if dice.random() < 0.1:
        extra["annotation"] = {"rating": dice.choice([1, -1]), "comment": _prose(dice, 3, 9), "tags": []}
    if dice.random() < 0.03:
        extra["originalContent"] = text + " Hope that helps!"
    return _message(dice, messages, parent, "assistant", second, content=text, **extra)


def _message(
    dice: random.Random, messages: dict[str, Any], parent: str | None, role: str, second: int, **extra: Any
) -> dict[str, Any]:
    message = {"id": _uuid(dice), "parentId": parent, "childrenIds": [], "role": role, "timestamp": second, **extra}
    if parent is not None:
        messages[parent]["childrenIds"].append(message["id"])
    messages[message["id"]] = message
    return message


def _prose(dice: random.Random, fewest: int, most: int) -> str:
    return " ".join(dice.choices(_WORDS, k=dice.randint(fewest, most)))


def _uuid(dice: random.Random) -> str:
    digits = f"{dice.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
