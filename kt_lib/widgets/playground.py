"""The playground widget: chat and agent side by side on the same message, heard while they write, judged by a click."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import anywidget
import traitlets
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kt_lib.calls.failures import DESCRIPTIONS
from kt_lib.errors import KtError
from kt_lib.interactions import InteractionStore
from kt_lib.labels import Interaction
from kt_lib.ledger import open_ledger
from kt_lib.personas import EVERYBODY, persona
from kt_lib.playground import MODES, Playground, Setting
from kt_lib.prompts import describe
from kt_lib.records import Mode, Profile, Protocol, Record, ToolSpec
from kt_lib.showing import shown, visible
from kt_lib.widgets.faces import STYLE, face
from kt_lib.widgets.label_view import written
from kt_lib.widgets.labeller import annotator_name

log = logging.getLogger(__name__)

_LONGEST = 20_000
Open = Callable[[str], Any]
"""Opens a model by name; it may take seconds."""


class Choices(Record):
    """What can be chosen."""

    versions: tuple[str, ...]
    """Models by name, the one to begin with first."""
    profiles: tuple[Profile, ...] = ()
    """Profiles of the newest run."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools offered to both sides."""
    protocol: Protocol = "json"
    """How the agent's calls are made."""
    persona: str = ""
    """Role or persona to begin with."""
    profile: str = ""
    """Profile to begin with."""
    annotator: str = ""
    """Who judges."""


class Told(BaseModel):
    """A message from the browser: untrusted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    do: Literal["say", "stop", "clear", "judge", "choose"]
    text: str = Field("", max_length=_LONGEST)
    id: str = Field("", max_length=200)
    verdict: Literal["right", "wrong", "corrected"] | None = None
    version: str = Field("", max_length=200)
    persona: str = Field("", max_length=100)
    profile: str = Field("", max_length=200)


class PlaygroundWidget(anywidget.AnyWidget):
    """Puts messages in a thread of its own, so that stopping works and the notebook stays free."""

    _esm = face("playground.js")
    _css = STYLE
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, choices: Choices, open_by_name: Open, store: InteractionStore) -> None:
        self._choices, self._open, self._store = choices, open_by_name, store
        self._playground: Playground | None = None
        self._version = choices.versions[0]
        self._persona, self._profile = choices.persona, choices.profile
        self._turns: list[dict[str, Any]] = []
        self._by_id: dict[str, Interaction] = {}
        self._state, self._fault = "loading", ""
        self._stop = threading.Event()
        self._work: threading.Thread | None = None
        super().__init__(view=self._view())
        self.on_msg(self._receive)
        self._start(self._load)

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until what is under way has ended."""
        if self._work is not None:
            self._work.join(seconds)

    # --- what is shown ---

    def _view(self, said: str = "") -> dict[str, Any]:
        return {
            "state": self._state,
            "fault": shown(self._fault, 2000),
            "said": said,
            "version": self._version,
            "versions": list(self._choices.versions),
            "persona": self._persona,
            "personas": [{"name": one.name, "kind": one.kind} for one in EVERYBODY],
            "profile": self._profile,
            "profiles": [shown(one.name, 200) for one in self._choices.profiles],
            "tools": [shown(describe(tool), 500) for tool in self._choices.tools],
            "turns": self._turns,
        }

    def _show(self, said: str = "") -> None:
        self.view = self._view(said)

    # --- what is done ---

    def _receive(self, _: Any, content: Any, buffers: Any) -> None:
        try:
            self._do(Told.model_validate(content))
        except ValidationError:
            self._fault = "the browser sent what is no action of this widget"
            self._show()
        except (KtError, KeyError) as error:
            self._fault = str(error)
            self._show()

    def _do(self, told: Told) -> None:
        self._fault = ""
        if told.do == "stop":
            self._stop.set()
        elif told.do == "judge":
            self._judge(told)
        elif self._state in ("writing", "loading"):
            raise KtError("the model is at work: wait, or stop it first")
        elif told.do == "say" and told.text.strip() and self._playground:
            self._turns = [*self._turns, {"user": shown(told.text, _LONGEST), "chat": None, "agent": None}]
            self._state = "writing"
            self._stop.clear()
            self._show()
            self._start(lambda: self._say(told.text))
        elif told.do == "clear" and self._playground:
            self._playground.clear()
            self._turns = []
            self._show("a new conversation")
        elif told.do == "choose":
            self._choose(told)

    def _choose(self, told: Told) -> None:
        known = {one.name for one in self._choices.profiles}
        self._persona = told.persona if persona(told.persona) else ""
        self._profile = told.profile if told.profile in known else ""
        if told.version in self._choices.versions and told.version != self._version:
            self._version, self._state, self._turns = told.version, "loading", []
            self._start(self._load)
        self._show()

    def _start(self, work: Callable[[], None]) -> None:
        self._work = threading.Thread(target=work, name="kt-playground", daemon=True)
        self._work.start()

    def _load(self) -> None:
        self._playground = None
        try:
            model = self._open(self._version)
            # A model that is not there is told now, and one of our own is read from disk now, not at the first message.
            for what in ("digest", "weights"):
                getattr(model, what, None)
            self._playground = Playground(model, self._choices.tools, self._store)
            self._state = "ready"
        except Exception as error:
            self._failed(error)
        self._show()

    def _say(self, text: str) -> None:
        try:
            for mode in MODES:
                if self._playground and not self._stop.is_set():
                    done = self._playground.say(mode, text, self._setting(), self._hear)
                    self._by_id[done.id] = done
                    # Taken anew: what was said of the other side in the meantime stands there.
                    self._turns = [*self._turns[:-1], self._turns[-1] | {mode: _side(done)}]
                    self._show()
        except Exception as error:
            self._failed(error)
        self._state = "ready"
        self._show("" if self._fault else "stopped" if self._stop.is_set() else "both have answered")

    def _failed(self, error: Exception) -> None:
        self._state = "failed" if self._playground is None else "ready"
        self._fault = str(error) if isinstance(error, KtError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, KtError):
            log.exception("the model could not answer")

    def _hear(self, mode: Mode, piece: str) -> bool:
        self.send({"side": mode, "piece": visible(piece)})
        return not self._stop.is_set()

    def _setting(self) -> Setting:
        chosen = next((one for one in self._choices.profiles if one.name == self._profile), None)
        return Setting(protocol=self._choices.protocol, persona=persona(self._persona), profile=chosen)

    def _judge(self, told: Told) -> None:
        if self._playground is None or told.verdict is None or told.id not in self._by_id:
            raise KtError("this answer is not here any more: put the message again")
        judged = self._playground.judge(
            self._by_id[told.id], told.verdict, told.text, annotator_name(self._choices.annotator)
        )
        self._by_id[judged.id] = judged
        self._turns = [
            turn | {mode: _side(judged)} if turn[judged.mode] and turn[judged.mode]["id"] == judged.id else turn
            for turn in self._turns
            for mode in [judged.mode]
        ]
        self._show(f"stored: {judged.verdict}")


def _side(done: Interaction) -> dict[str, Any]:
    """An answer as it is shown, with what it took."""
    tokens = done.usage.completion_tokens
    writing = max(done.seconds, 1e-9)
    return {
        "id": done.id,
        "text": shown(done.output, _LONGEST),
        "calls": [shown(written(call), _LONGEST) for call in done.calls],
        "failure": f"{done.failure.replace('_', ' ')}: {DESCRIPTIONS.get(done.failure, '')}" if done.failure else "",
        "took": f"first text after {done.first_seconds:.2f} s, {done.seconds:.2f} s in all, {tokens} tokens,"
        f" {tokens / writing:.0f} a second",
        "verdict": done.verdict,
        "correction": shown(done.correction, 2000),
    }


def playground(
    choices: Choices, state: Path, *, allow_remote: bool = False, max_calls: int | None = None
) -> PlaygroundWidget:
    """The widget over the versions and the ledger of a state folder."""
    from kt_lib.release import open_version

    def opened(name: str) -> Any:
        return open_version(name, state, allow_remote=allow_remote, max_calls=max_calls)

    return PlaygroundWidget(choices, opened, InteractionStore(open_ledger(state)))


def choices_in(
    state: Path, model: str, tools: Sequence[ToolSpec], profiles: Sequence[Profile], **chosen: Any
) -> Choices:
    """What can be chosen: `model` first, then the versions of the ledger, what people get before the others.

    An empty `model` begins with what people get.
    """
    with open_ledger(state) as ledger:
        champion = ledger.champion()
        names = [f"embedded@{one.version}" for one in reversed(ledger.versions())]
    people = f"embedded@{champion.version}" if champion else "embedded"
    versions = tuple(dict.fromkeys([model or people, people, *names, "embedded"]))
    return Choices(versions=versions, tools=tuple(tools), profiles=tuple(profiles), **chosen)


def exchange(choices: Choices, state: Path, message: str, **bounds: Any) -> list[dict[str, Any]]:
    """One message on both sides, as rows of a table; nothing of it is stored."""
    from kt_lib.ledger import Ledger
    from kt_lib.release import open_version

    chosen = next((one for one in choices.profiles if one.name == choices.profile), None)
    setting = Setting(protocol=choices.protocol, persona=persona(choices.persona), profile=chosen)
    model: Any = open_version(choices.versions[0], state, **bounds)
    with Ledger("sqlite://") as nowhere:
        one = Playground(model, choices.tools, InteractionStore(nowhere))
        done = [one.say(mode, message, setting, lambda side, piece: True) for mode in MODES]
    return [{"side": each.mode, "says": each.output, **_measured(each)} for each in done]


def _measured(done: Interaction) -> dict[str, Any]:
    calls = "; ".join(written(call) for call in done.calls)
    return {
        "calls": calls,
        "malformed": done.failure.replace("_", " "),
        "first text (s)": round(done.first_seconds, 3),
        "seconds": round(done.seconds, 3),
        "tokens": done.usage.completion_tokens,
    }
