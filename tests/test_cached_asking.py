"""Asking a model within a budget: what was answered is kept, even where the process is killed, and not asked twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from kt_lib.cached_asking import AT_ONCE, Budget, CachedAsking
from kt_lib.errors import ServerFault
from kt_lib.models.interface import Progress
from kt_lib.records import ChatMessage, Completion, Decoding, Request, Usage

PLENTY = Budget(max_calls=1000, max_tokens=1_000_000)


class Echo:
    """Repeats what it is asked, and counts; raises once it has answered `most`."""

    name = "echo"

    def __init__(self, most: int = 1000, usage: Usage = Usage(prompt_tokens=10, completion_tokens=5)) -> None:
        self.seen: list[str] = []
        self.most, self.usage, self.digest = most, usage, "sha256:echo"

    def complete(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Completion]:
        if len(self.seen) + len(requests) > self.most:
            raise ServerFault("the server is gone")
        self.seen += [request.messages[-1].content for request in requests]
        return [self.answer(request.messages[-1].content) for request in requests]

    def answer(self, said: str) -> Completion:
        if said.startswith("fail"):
            return Completion(finish="error", error="overloaded")
        return Completion(text=f"you said {said}", usage=self.usage)


def asked(*texts: str) -> list[Request]:
    return [
        Request(messages=(ChatMessage(role="user", content=text),), decoding=Decoding(max_tokens=20)) for text in texts
    ]


def texts(answers: Sequence[Completion | None]) -> list[str | None]:
    return [one and one.text for one in answers]


def test_a_second_run_asks_nothing_again(tmp_path: Path) -> None:
    first, second = Echo(), Echo()
    answers = CachedAsking(first, tmp_path / "cache.jsonl", PLENTY).ask(asked("a", "b", "a"))
    again = CachedAsking(second, tmp_path / "cache.jsonl", PLENTY)
    assert texts(again.ask(asked("a", "b", "a"))) == texts(answers) == ["you said a", "you said b", "you said a"]
    assert (first.seen, second.seen) == (["a", "b"], [])
    assert (again.spent.asked, again.spent.cached, again.spent.tokens) == (0, 2, 0)


def test_another_model_and_another_way_to_decode_are_asked_anew(tmp_path: Path) -> None:
    CachedAsking(Echo(), tmp_path / "c", PLENTY).ask(asked("a"))
    other = Echo()
    other.digest = "sha256:other"
    CachedAsking(other, tmp_path / "c", PLENTY).ask(asked("a"))
    same = Echo()
    warmer = asked("a")[0].model_copy(update={"decoding": Decoding(temperature=0.7, max_tokens=20)})
    CachedAsking(same, tmp_path / "c", PLENTY).ask([warmer])
    assert other.seen == same.seen == ["a"]


def test_at_the_end_of_the_calls_it_stops_and_says_what_is_left(tmp_path: Path) -> None:
    asking = CachedAsking(Echo(), tmp_path / "c", Budget(max_calls=3, max_tokens=1_000_000))
    assert texts(asking.ask(asked("a", "b", "c", "d", "e"))) == ["you said a", "you said b", "you said c", None, None]
    assert (asking.spent.asked, asking.spent.left) == (3, 2)


def test_tokens_are_never_passed_and_a_server_that_does_not_count_is_not_for_nothing(tmp_path: Path) -> None:
    for usage in (Usage(prompt_tokens=1, completion_tokens=20), Usage()):
        model = Echo(usage=usage)
        asking = CachedAsking(model, tmp_path / str(usage.completion_tokens), Budget(max_calls=1000, max_tokens=100))
        answers = asking.ask(asked(*(f"question {at}" for at in range(50))))
        assert 1 < len(model.seen) < 50
        assert 0 < asking.spent.tokens <= 100
        assert asking.spent.left == answers.count(None) == 50 - len(model.seen)


def test_a_failure_is_told_counted_and_asked_again_the_next_time(tmp_path: Path) -> None:
    model = Echo()
    first = CachedAsking(model, tmp_path / "c", PLENTY)
    failed = first.ask(asked("fail once"))[0]
    assert failed is not None
    assert (failed.finish, failed.error) == ("error", "overloaded")
    assert (first.spent.asked, first.spent.failed) == (1, 1)
    CachedAsking(model, tmp_path / "c", PLENTY).ask(asked("fail once"))
    assert model.seen == ["fail once", "fail once"]


def test_what_was_answered_before_the_model_broke_down_is_kept(tmp_path: Path) -> None:
    questions = asked(*(f"question {at}" for at in range(3 * AT_ONCE)))
    with pytest.raises(ServerFault):
        CachedAsking(Echo(most=2 * AT_ONCE), tmp_path / "c", PLENTY).ask(questions)
    healthy = Echo()
    assert None not in CachedAsking(healthy, tmp_path / "c", PLENTY).ask(questions)
    assert healthy.seen == [f"question {at}" for at in range(2 * AT_ONCE, 3 * AT_ONCE)]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_cached_asking import AT_ONCE, PLENTY, CachedAsking, Echo, asked

    class Mortal(Echo):
        def complete(self, requests, progress=None):
            if len(self.seen) >= 2 * AT_ONCE:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().complete(requests, progress)

    CachedAsking(Mortal(), Path({cache!r}), PLENTY).ask(asked(*(f"question {{at}}" for at in range(3 * AT_ONCE))))
"""


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    cache = tmp_path / "cache.jsonl"
    script = textwrap.dedent(KILLED).format(tests=str(Path(__file__).parent), cache=str(cache))
    killed = subprocess.run([sys.executable, "-c", script], env=dict(os.environ), check=False)
    assert killed.returncode == -signal.SIGKILL
    with cache.open("ab") as handle:
        handle.write(b'{"request": "sha256:cut of')  # what a kill in the middle of a write leaves
    model = Echo()
    questions = asked(*(f"question {at}" for at in range(3 * AT_ONCE)))
    assert None not in CachedAsking(model, cache, PLENTY).ask(questions)
    assert model.seen == [f"question {at}" for at in range(2 * AT_ONCE, 3 * AT_ONCE)]
    last = Echo()
    assert None not in CachedAsking(last, cache, PLENTY).ask(questions)
    assert last.seen == [], "the cut-off line spoilt nothing that was written after it"


def test_no_secret_of_an_answer_is_kept_on_disk(tmp_path: Path) -> None:
    secret = "AKIA" + "IOSFODNN7EXAMPLE"
    asking = CachedAsking(Echo(), tmp_path / "c", PLENTY)
    first = texts(asking.ask(asked(f"my key is {secret} and mail bob@example.com")))
    assert secret not in (tmp_path / "c").read_text()
    assert "bob@example.com" not in (tmp_path / "c").read_text()
    assert json.loads((tmp_path / "c").read_text())["completion"]["text"] == first[0]
    assert "<KEY_1>" in str(first[0])
