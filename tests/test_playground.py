"""The playground: one message to both sides, every exchange kept, and what a person says of it learned from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from page_checks import EVERYTHING

from kt_lib.errors import KtError
from kt_lib.interaction_rows import taught_by
from kt_lib.interactions import InteractionStore
from kt_lib.labels import Interaction
from kt_lib.ledger import Ledger
from kt_lib.models.streaming import OnText
from kt_lib.personas import EVERYBODY, PERSONAS, ROLES, persona
from kt_lib.playground import Playground, Setting, request_for
from kt_lib.records import ChatMessage, Completion, Profile, Request, ToolCall, ToolSpec, Usage
from kt_lib.widgets.playground import Choices, PlaygroundWidget
from kt_lib.world.suite import make_tasks

BASH = ToolSpec(
    name="bash",
    parameters={"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)
CALL = '{"tool": "bash", "params": {"command": "df -h"}}'


class Parrot:
    """Says what it was given, word by word, and remembers what it was asked."""

    name = "parrot"
    digest = "sha256:parrot"

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    def stream(self, request: Request, on_text: OnText) -> Completion:
        self.asked.append(request)
        text = self.answers.pop(0)
        if text == "FAIL":
            return Completion(finish="error", error="out of memory")
        told = ""
        for word in text.split(" "):
            told += word if not told else f" {word}"
            if not on_text(word if told == word else f" {word}"):
                break
        return Completion(text=told, usage=Usage(completion_tokens=len(told.split())), seconds=0.5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[InteractionStore]:
    # A file, for the widget works in a thread of its own.
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        yield InteractionStore(ledger)


def hear(*_: object) -> bool:
    return True


def test_an_exchange_is_kept_with_all_that_tells_where_it_came_from(store: InteractionStore) -> None:
    parrot = Parrot(CALL)
    setting = Setting(persona=persona("stressed on-call"))
    done = Playground(parrot, [BASH], store).say("agent", "how full is the disk?", setting, hear)
    (kept,) = store.all()
    assert kept == done
    assert (kept.model, kept.digest, kept.persona, kept.origin) == (
        "parrot",
        "sha256:parrot",
        "stressed on-call",
        "playground",
    )
    assert [(call.name, call.arguments) for call in kept.calls] == [("bash", {"command": "df -h"})]
    assert kept.verdict == "unjudged"
    assert store.all(judged=True) == []
    assert "on call" in parrot.asked[0].messages[0].content


def test_a_call_that_cannot_be_read_is_named_and_never_repaired(store: InteractionStore) -> None:
    done = Playground(Parrot(CALL.replace('"tool"', '"action"')), [BASH], store).say("agent", "x", Setting(), hear)
    assert (done.failure, done.calls) == ("wrong_key", ())


def test_the_conversation_goes_on_with_what_it_should_have_said(store: InteractionStore) -> None:
    parrot = Parrot("use free", "sure")
    ground = Playground(parrot, [BASH], store)
    first = ground.say("chat", "disk?", Setting(), hear)
    ground.judge(first, "corrected", "use df -h", "ann")
    ground.say("chat", "and now?", Setting(), hear)
    assert [message.content for message in parrot.asked[1].messages[1:]] == ["disk?", "use df -h", "and now?"]
    assert [one.verdict for one in store.all()] == ["corrected", "unjudged"]
    with pytest.raises(KtError, match="empty"):
        ground.judge(first, "corrected", " ", "ann")


def test_a_model_that_fails_is_told_and_nothing_is_kept(store: InteractionStore) -> None:
    with pytest.raises(KtError, match="out of memory"):
        Playground(Parrot("FAIL"), [BASH], store).say("chat", "x", Setting(), hear)
    assert store.all() == []


def test_a_profile_changes_the_agents_side_only() -> None:
    profile = Profile(name="p", model="m", prompt="strict", constrained=True)
    said = [ChatMessage(role="user", content="x")]
    plain, strict = (request_for("agent", said, [BASH], Setting(profile=one)) for one in (None, profile))
    assert plain.output_schema is None
    assert strict.output_schema is not None
    assert strict.messages != plain.messages
    chat = [request_for("chat", said, [BASH], Setting(profile=one)) for one in (None, profile)]
    assert chat[0] == chat[1]


def test_roles_and_personas_have_words_and_names_of_their_own() -> None:
    assert (len(ROLES), len(PERSONAS)) == (9, 5)
    assert len({one.name for one in EVERYBODY}) == len({one.words for one in EVERYBODY}) == 14
    assert persona("") is None


def judged(
    store: InteractionStore, mode: str, output: str, verdict: str, correction: str = "", said: str = "disk?"
) -> Interaction:
    ground = Playground(Parrot(output), [BASH], store)
    done = ground.say(mode, said, Setting(), hear)  # type: ignore[arg-type]
    return ground.judge(done, verdict, correction, "ann")


def test_what_is_right_is_learned_and_what_was_wrong_stands_beside_it(store: InteractionStore) -> None:
    judged(store, "agent", CALL, "right")
    judged(store, "agent", "I would run df", "corrected", '{"name": "bash", "arguments": {"command": "df -h"}}')
    judged(store, "chat", "use free", "corrected", "use df -h")
    judged(store, "chat", "no idea", "wrong")
    judged(store, "agent", CALL.replace('"tool"', '"action"'), "right")
    taught = taught_by(store.all(judged=True), [], "json", 0.95)
    assert [row.messages[-1].content for row in taught.rows] == [CALL, CALL, "use df -h"]
    assert [(pair.chosen, pair.rejected) for pair in taught.pairs] == [
        (CALL, "I would run df"),
        ("use df -h", "use free"),
    ]
    assert taught.left_out == {"no call by the protocol": 1, "only said to be wrong": 1}
    assert all(
        row.basis == f"playground: said to be {word} by ann"
        for row, word in zip(taught.rows, ["right", "corrected", "corrected"], strict=True)
    )


def test_no_secret_is_kept_wherever_it_was_said(store: InteractionStore) -> None:
    secret = "jane.doe@example.com"
    call = CALL.replace("df -h", f"mail {secret}")
    ground = Playground(Parrot(call), [BASH], store)
    done = ground.say("agent", f"write to {secret}", Setting(), hear)
    ground.judge(done, "corrected", f"ask {secret}", "ann")
    (kept,) = store.all()
    assert kept.calls
    assert secret not in kept.model_dump_json()
    taught = taught_by([kept], [], "json", 0.95)
    assert secret not in taught.model_dump_json()


def test_an_answer_that_was_stopped_is_not_learned(store: InteractionStore) -> None:
    ground = Playground(Parrot("one two three four"), [BASH], store)
    pieces: list[str] = []

    def two_words(mode: object, piece: str) -> bool:
        pieces.append(piece)
        return len(pieces) < 2

    done = ground.say("chat", "count", Setting(), two_words)
    assert (done.output, done.stopped) == ("one two", True)
    ground.judge(done, "right", "", "ann")
    taught = taught_by(store.all(judged=True), [], "json", 0.95)
    assert (taught.rows, taught.left_out) == ((), {"stopped before its end": 1})


def test_a_call_that_does_not_fit_its_schema_is_not_learned(store: InteractionStore) -> None:
    judged(store, "agent", "hm", "corrected", '{"name": "bash", "arguments": {"cmd": 1}}')
    assert taught_by(store.all(judged=True), [], "json", 0.95).rows == ()


def test_what_was_said_under_a_persona_is_learned_under_it(store: InteractionStore) -> None:
    ground = Playground(Parrot("Run df -h."), [BASH], store)
    done = ground.say("chat", "disk?", Setting(persona=persona("executive brief")), hear)
    ground.judge(done, "right", "", "ann")
    (row,) = taught_by(store.all(judged=True), [], "json", 0.95).rows
    assert "one line" in row.messages[0].content


def test_a_native_call_is_learned_in_the_protocols_form(store: InteractionStore) -> None:
    native = Interaction(
        id="i", time=1.0, origin="playground", mode="agent", protocol="native", model="m", digest="d", output="",
        messages=(ChatMessage(role="user", content="disk?"),), tools=(BASH,), verdict="right",
        calls=(ToolCall(name="bash", arguments={"command": "df -h"}),),
    )  # fmt: skip
    (row,) = taught_by([native], [], "json", 0.95).rows
    assert row.messages[-1].content == CALL


def test_by_native_calling_what_is_right_is_learned_as_a_call_and_no_pair_holds_one(store: InteractionStore) -> None:
    judged(store, "agent", "I would run df", "corrected", CALL)
    judged(store, "agent", CALL, "corrected", "Which disk?")
    judged(store, "agent", "No.", "corrected", "Which disk?")
    taught = taught_by(store.all(judged=True), [], "native", 0.95)
    call = ToolCall(name="bash", arguments={"command": "df -h"})
    assert [row.messages[-1].tool_calls for row in taught.rows] == [(call,), (), ()]
    assert [row.messages[-1].content for row in taught.rows] == ["", "Which disk?", "Which disk?"]
    assert [(pair.chosen, pair.rejected) for pair in taught.pairs] == [("Which disk?", "No.")]


def test_a_version_that_cannot_be_opened_does_not_answer_by_another(store: InteractionStore) -> None:
    def opened(name: str) -> Parrot:
        if name == "gone":
            raise KtError("no such version")
        return Parrot("hello")

    made = PlaygroundWidget(Choices(versions=("parrot", "gone"), tools=(BASH,)), opened, store)
    made.wait()
    assert tell(made, do="choose", version="gone")["state"] == "failed"
    assert tell(made, do="say", text="hi")["turns"] == []
    assert store.all() == []


def test_an_exchange_like_an_evaluation_task_teaches_nothing(store: InteractionStore) -> None:
    task = make_tasks(1, "test", "main", 1)[0]
    judged(store, "chat", "use df -h", "right", said=task.messages[-1].content)
    taught = taught_by(store.all(judged=True), [task], "json", 0.95)
    assert (taught.rows, taught.left_out) == ((), {"like an evaluation task": 1})


def widget(store: InteractionStore, *answers: str) -> PlaygroundWidget:
    made = PlaygroundWidget(Choices(versions=("parrot",), tools=(BASH,)), lambda _: Parrot(*answers), store)
    made.wait()
    return made


def tell(made: PlaygroundWidget, **message: object) -> dict:
    made._receive(None, message, [])
    made.wait()
    return made.view


def test_the_widget_puts_a_message_to_both_sides_and_stores_what_is_said_of_them(store: InteractionStore) -> None:
    made = widget(store, "Run df -h.", CALL)
    view = tell(made, do="say", text="disk?")
    (turn,) = view["turns"]
    assert (turn["user"], turn["chat"]["text"], turn["agent"]["calls"]) == (
        "disk?",
        "Run df -h.",
        ['bash(command="df -h")'],
    )
    view = tell(made, do="judge", id=turn["agent"]["id"], verdict="right")
    assert view["turns"][0]["agent"]["verdict"] == "right"
    assert [one.mode for one in store.all(judged=True)] == ["agent"]


def test_the_widget_shows_what_went_wrong_and_takes_nothing_it_does_not_know(store: InteractionStore) -> None:
    made = widget(store, "FAIL")
    assert "out of memory" in tell(made, do="say", text="x")["fault"]
    for message in (
        {"do": "format"},
        {"do": "say", "text": "x", "more": 1},
        {"do": "judge", "id": "none", "verdict": "right"},
    ):
        assert tell(made, **message)["fault"]
    broken = PlaygroundWidget(
        Choices(versions=("gone",)), lambda _: (_ for _ in ()).throw(KtError("no such model")), store
    )
    broken.wait()
    assert (broken.view["state"], broken.view["fault"]) == ("failed", "no such model")


def test_hostile_words_are_shown_as_words(store: InteractionStore) -> None:
    view = tell(widget(store, EVERYTHING, EVERYTHING), do="say", text=EVERYTHING)
    shown = view["turns"][0]["chat"]["text"]
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_the_store_outlasts_the_kernel(tmp_path: Path) -> None:
    with Ledger(f"sqlite:///{tmp_path / 'l.db'}") as ledger:
        judged(InteractionStore(ledger), "chat", "yes", "right")
    with Ledger(f"sqlite:///{tmp_path / 'l.db'}") as ledger:
        assert [one.verdict for one in InteractionStore(ledger).all()] == ["right"]
