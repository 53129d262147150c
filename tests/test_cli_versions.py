"""`kt chat`, `versions`, `promote`, `rollback` and `export` through the front door, in a state folder of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from kt_lib.cli.app import app
from kt_lib.cli.terminal_chat import TerminalChat, printable, tools_in
from kt_lib.errors import ArtifactError, GateRefused, KtError, ModelError, ModelNotFound, ParameterError, SourceError
from kt_lib.ledger import open_ledger
from kt_lib.models.embedded import packaged_base
from kt_lib.records import Completion, ModelVersion, Request, Score, ToolSpec, Verdict
from kt_lib.release import place
from kt_lib.statistics import paired_counts, wilson
from kt_lib.versions import new_version
from kt_lib.weights import model_digest

BASH = ToolSpec(name="bash", parameters={"type": "object", "properties": {"command": {"type": "string"}}})


def version_of(passed: bool = True) -> ModelVersion:
    table = paired_counts(50, 2, 40, 8)
    return new_version(
        [],
        base="sha256:base",
        adapter="sha256:adapter",
        digest=model_digest(packaged_base()),
        run="run 1",
        data="sha256:data",
        scores=[Score(variant="sft", mode="agent", suite="main", metric="success", rate=wilson(90, 100))],
        verdicts=[
            Verdict(
                variant="sft",
                suite="target",
                table=table,
                verdict="better" if passed else "inconclusive",
                passed=passed,
                margin=0.05,
                discordance=0.42,
                power=0.2,
                needed=1319,
                reason="made up",
            )
        ],
        passed=passed,
        now=1000.0,
    )


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KT_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("KT_LEDGER", raising=False)
    return tmp_path / "state"


@pytest.fixture
def released(state: Path) -> Path:
    with open_ledger(state) as ledger:
        ledger.record_version(version_of())
    place(state, packaged_base(), version_of())
    return state


def kt(*words: str, typed: str = "") -> Result:
    result = CliRunner().invoke(app, list(words), input=typed)
    if isinstance(result.exception, KtError):
        raise result.exception
    assert result.exception is None, result.output
    return result


def test_without_a_version_people_get_the_base_model(state: Path) -> None:
    assert "People get the base model" in kt("versions").output
    assert json.loads(kt("versions", "--json").output) == {"champion": None, "versions": [], "history": []}


def test_a_version_is_listed_promoted_and_taken_back(released: Path) -> None:
    assert "People get the base model." in kt("versions").output
    assert "People get 1.0.0 (before: the base model)." in kt("promote", "1.0.0").output
    assert "already" in kt("promote", "1.0.0").output
    listed = kt("versions").output
    assert "* 1.0.0" in listed
    assert "agent 90.0% (82.6% to 94.5%, n 100)" in listed
    assert "People get the base model (before: 1.0.0)." in kt("rollback", "--reason", "tried").output
    told = json.loads(kt("versions", "--json").output)
    assert told["champion"] is None
    assert [one["version"] for one in told["history"]] == ["1.0.0", None]


def test_one_version_is_told_in_full(released: Path) -> None:
    told = kt("versions", "1.0.0").output
    for words in ("run 1", "sha256:data", "first version", "90.0%", "target", "better"):
        assert words in told


def test_what_the_gate_stopped_cannot_be_promoted_by_hand(state: Path) -> None:
    with open_ledger(state) as ledger:
        ledger.record_version(version_of(passed=False))
    place(state, packaged_base(), version_of(passed=False))
    with pytest.raises(GateRefused, match=r"1\.0\.0 may not be promoted: target inconclusive"):
        kt("promote", "1.0.0")
    assert "gate stopped" in kt("versions").output


def test_an_unknown_version_is_told_with_those_there_are(released: Path) -> None:
    for words in (("promote", "2.0.0"), ("versions", "2.0.0"), ("chat", "--model", "2.0.0")):
        with pytest.raises(ArtifactError, match=r"no version '2\.0\.0' \(there are: 1\.0\.0\)"):
            kt(*words)


def test_a_version_is_exported_and_nothing_is_overwritten(released: Path, tmp_path: Path) -> None:
    assert "version 1.0.0" in kt("export", "1.0.0", "--to", str(tmp_path / "out")).output
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert "# Version 1.0.0" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(ArtifactError, match="nothing is overwritten"):
        kt("export", "1.0.0", "--to", str(tmp_path / "out"))


def test_a_version_is_exported_as_gguf_where_llama_cpp_is(
    released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ParameterError, match="no GGUF type is called 'q9'"):
        kt("export", "1.0.0", "--to", str(tmp_path / "out"), "--gguf", "q9")
    assert not (tmp_path / "out").exists()
    converter = "import pathlib, sys; pathlib.Path(sys.argv[3]).write_bytes(b'GGUF'); print('half way 50%')"
    (tmp_path / "convert_hf_to_gguf.py").write_text(converter)
    monkeypatch.setenv("KT_LLAMA_CPP", str(tmp_path))
    told = kt("export", "1.0.0", "--to", str(tmp_path / "out"), "--gguf", "q8_0")
    assert "half way 50%" in told.output
    assert (tmp_path / "out" / "model-q8_0.gguf").read_bytes() == b"GGUF"


def test_a_chat_is_with_the_champion_and_works_from_a_pipe(released: Path) -> None:
    kt("promote", "1.0.0")
    told = kt("chat", "--mode", "agent", typed="/mode chat\nshow the memory on web-12\n/quit\nnever read\n").output
    assert "embedded@1.0.0, agent mode" in told
    assert "remote_bash(agent_id, command)" in told
    assert "web-12" in told.split("embedded@1.0.0> ")[1]
    assert "never read" not in told


def test_a_chat_without_a_champion_is_with_the_base(state: Path) -> None:
    assert "embedded, chat mode" in kt("chat", typed="").output


def test_a_wrong_mode_and_an_unknown_model_are_told(state: Path) -> None:
    with pytest.raises(ParameterError, match="chat or agent"):
        kt("chat", "--mode", "shout")
    with pytest.raises(ModelNotFound, match="no model is called"):
        kt("chat", "--model", "nonsense", typed="hello\n")


# --- the conversation itself, with a model that says what it is told to -----------------------------------------------


class Toy:
    """Answers with the texts it is given, in turn, and keeps what it was asked."""

    name = "toy"
    digest = "sha256:toy"

    def __init__(self, *answers: Completion | str | ModelError) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    def complete(self, requests: Sequence[Request], progress: object = None) -> list[Completion]:
        (request,) = requests
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, ModelError):
            raise answer
        return [Completion(text=answer) if isinstance(answer, str) else answer]


def talk(toy: Toy, mode: str, *typed: str) -> list[tuple[str, str, str]]:
    lines, shown = list(typed), []
    chat = TerminalChat(
        toy,
        mode,  # type: ignore[arg-type]
        [BASH],
        lambda prompt: lines.pop(0) if lines else None,
        lambda title, text, what: shown.append((title, text, what)),
    )
    chat.run()
    return shown


def test_a_call_is_shown_and_the_typed_result_goes_back_to_the_model() -> None:
    toy = Toy('{"tool": "bash", "params": {"command": "df -h"}}', "The disk is full.")
    shown = talk(toy, "agent", "how full is the disk", "97% used", "/quit")
    assert ("calls bash", 'bash(command="df -h")', "call") in shown
    assert ("toy", "The disk is full.", "model") in shown
    roles = [(message.role, message.content) for message in toy.asked[1].messages[1:]]
    assert roles == [
        ("user", "how full is the disk"),
        ("assistant", '{"tool": "bash", "params": {"command": "df -h"}}'),
        ("tool", "97% used"),
    ]


def test_a_call_left_unanswered_is_not_sent_on() -> None:
    toy = Toy('{"tool": "bash", "params": {"command": "df -h"}}', "Hello.")
    talk(toy, "agent", "how full is the disk", "", "hello")
    assert [message.role for message in toy.asked[1].messages] == ["system", "user", "assistant", "user"]


def test_a_call_that_cannot_be_read_is_shown_with_what_is_wrong_with_it() -> None:
    shown = talk(Toy('{"action": "bash", "params": {"command": "df"}}'), "agent", "disk?")
    (title, text, what) = shown[-1]
    assert "not a readable call: wrong_key" in title
    assert (text, what) == ('{"action": "bash", "params": {"command": "df"}}', "fault")


def test_chat_and_agent_are_asked_as_they_are_measured() -> None:
    toy = Toy("Run `df`.", "ok")
    talk(toy, "chat", "disk?", "/mode agent", "disk?")
    assert "Answer in words" in toy.asked[0].messages[0].content
    assert '{"tool": name' in toy.asked[1].messages[0].content
    assert all("bash(command?)" in request.messages[0].content for request in toy.asked)


def test_a_model_that_fails_is_told_and_the_chat_goes_on() -> None:
    failed = Completion(finish="error", error="out of memory")
    toy = Toy(ModelError("nobody answers at the address"), failed, "Here I am.")
    shown = talk(toy, "chat", "one", "two", "three")
    assert [(text, what) for _, text, what in shown if what != "plain"] == [
        ("nobody answers at the address", "fault"),
        ("out of memory", "fault"),
        ("Here I am.", "model"),
    ]
    assert [message.content for message in toy.asked[-1].messages[1:]] == ["three"], "what failed is not repeated"


def test_commands_are_answered_without_asking_the_model() -> None:
    toy = Toy()
    shown = [text for _, text, _ in talk(toy, "chat", "/help", "/tools", "/mode", "/mode loud", "/new", "/dance", "  ")]
    assert toy.asked == []
    assert sum("/tools" in text for text in shown) == 2, "for /help, and for a command there is not"
    assert "There is no /dance." in shown[-1]


def test_a_new_conversation_forgets_the_old_one() -> None:
    toy = Toy("One.", "Two.")
    talk(toy, "chat", "first", "/new", "second")
    assert [message.content for message in toy.asked[1].messages[1:]] == ["second"]


def test_terminal_escapes_in_an_answer_never_reach_the_terminal() -> None:
    nasty = "\x1b]0;owned\x07\x1b[2J \u202eevil\u202c\r\nline\ttab \x9b31m"
    assert printable(nasty) == "?]0;owned??[2J ?evil??\nline\ttab ?31m"


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "bash", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}}},
        {"type": "function", "function": {"name": "bash", "parameters": BASH.parameters}},
        {"name": "bash", "inputSchema": BASH.parameters},
    ],
)
def test_tools_are_read_in_every_usual_form(tmp_path: Path, entry: dict[str, object]) -> None:
    file = tmp_path / "tools.json"
    file.write_text(json.dumps([entry]))
    assert tools_in(file) == [BASH]
    file.write_text(json.dumps({"tools": [entry]}))
    assert tools_in(file) == [BASH]


@pytest.mark.parametrize("text", ["", "{", "3", '{"tool": 1}', '[{"parameters": {}}]', '["bash"]'])
def test_a_file_that_holds_no_tools_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tools.json"
    file.write_text(text)
    with pytest.raises(SourceError, match=r"tools\.json"):
        tools_in(file)
    with pytest.raises(SourceError, match="cannot be read"):
        tools_in(tmp_path / "missing.json")
