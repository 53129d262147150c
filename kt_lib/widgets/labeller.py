"""The labelling widget: a queue in front of a person, worked by keys, every answer stored at once."""

from __future__ import annotations

import getpass
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import anywidget
import traitlets
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kt_lib.errors import KtError, StaleLabel
from kt_lib.label_store import LabelStore
from kt_lib.labelling.order import ORDERS, Order, shared_out
from kt_lib.labelling.queue import Queue
from kt_lib.labelling.together import agreement, audited
from kt_lib.labels import Answer, Question, Verdict
from kt_lib.ledger import open_ledger
from kt_lib.records import Record
from kt_lib.widgets.corrections import read_calls
from kt_lib.widgets.faces import STYLE, face
from kt_lib.widgets.label_view import as_asked, disputed_view, progress_view, question_view, side_order

log = logging.getLogger(__name__)

_LONG = 20_000


class LabelOptions(Record):
    """How to ask."""

    annotators: tuple[str, ...] = ()
    """Who shares the questions; nobody named means that everybody gets all."""
    overlap: float = 0.2
    """Share of the questions that every annotator gets."""
    order: Order = "uncertain"
    """What to ask first."""
    hide_suggestions: bool = False
    """Whether suggestions are out of sight at the start."""
    threshold: float = 0.9
    """Score from which suggestions can be accepted at once."""
    audit_share: float = 0.1
    """Share of those that is drawn to be looked at."""
    seed: int = 1
    """Seed of that draw."""


class Said(BaseModel):
    """A message from the browser: untrusted, like everything that enters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    do: Literal[
        "answer", "accept", "skip", "flag", "note", "undo", "redo", "step", "open", "go", "check", "hide", "order",
        "annotator", "count", "bulk", "disputed", "settle",
    ]  # fmt: skip
    question: str = Field("", max_length=200)
    verdict: Verdict | None = None
    text: str = Field("", max_length=_LONG)
    by: int = Field(0, ge=-1, le=1)
    threshold: float = Field(1.0, ge=0, le=1)
    seconds: float = Field(0.0, ge=0, le=7 * 24 * 3600)


def annotator_name(given: str = "") -> str:
    """Who labels: the name given, else `KT_ANNOTATOR`, else the user of this machine."""
    return given.strip() or os.environ.get("KT_ANNOTATOR", "").strip() or getpass.getuser()


class Labeller(anywidget.AnyWidget):
    """Shows one question at a time and stores what is said of it; the notebook's kernel may end at any moment."""

    _esm = face("labeller.js")
    _css = STYLE
    view = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        questions: Sequence[Question],
        store: LabelStore,
        annotator: str = "",
        options: LabelOptions = LabelOptions(),
    ) -> None:
        self._asked = list(questions)
        self._store = store
        self._options = options
        self._hidden = options.hide_suggestions
        self._order: Order = options.order
        self._open(annotator_name(annotator))
        super().__init__(view=self._view())
        self.on_msg(self._receive)

    def _open(self, annotator: str) -> None:
        mine = shared_out(self._asked, annotator, self._options.annotators, self._options.overlap)
        self.queue = Queue(self._store, mine, annotator, order=self._order)

    # --- what is shown ---

    def _view(self, **more: Any) -> dict[str, Any]:
        queue, current = self.queue, self.queue.current
        answer = queue.answer_of(current.id) if current else None
        return {
            "annotator": queue.annotator,
            "order": self._order,
            "orders": list(ORDERS),
            "hidden": self._hidden,
            "threshold": self._options.threshold,
            "position": queue.position,
            "progress": progress_view(queue.progress()),
            "question": question_view(current, answer, queue.annotator, self._hidden) if current else None,
            "said": "",
            "fault": "",
            "check": None,
            "bulk": None,
            "disputed": None,
            **more,
        }

    # --- what is done ---

    def _receive(self, _: Any, content: Any, buffers: Any) -> None:
        try:
            said = Said.model_validate(content)
            self.view = self._view(**self._do(said))
        except StaleLabel as error:
            self.view = self._view(fault=str(error))
        except (KtError, ValidationError, KeyError) as error:
            self.view = self._view(fault=_in_words(error))
        except Exception as error:
            # A widget that falls silent loses work: whatever went wrong is told where the person looks.
            log.exception("the action could not be done")
            self.view = self._view(fault=f"not stored: {type(error).__name__}: {str(error)[:300]}")

    def _do(self, said: Said) -> dict[str, Any]:
        actions: dict[str, Callable[[Said], dict[str, Any]]] = {
            "answer": self._do_answer,
            "accept": self._do_accept,
            "settle": self._do_settle,
            "check": self._do_check,
            "undo": lambda _: self._told("taken back", self.queue.undo()),
            "redo": lambda _: self._told("given back", self.queue.redo()),
            "bulk": self._do_bulk,
            "disputed": self._do_disputed,
            "count": lambda one: {"bulk": {"count": len(self.queue.sure(one.threshold)), "threshold": one.threshold}},
        }
        return actions[said.do](said) if said.do in actions else self._do_small(said)

    def _do_small(self, said: Said) -> dict[str, Any]:
        if said.do == "skip":
            label = self.queue.skip(said.question, said.text)
            self.queue.resume()
            return {"said": f"skipped, saved as #{label.number}"}
        if said.do in ("flag", "note"):
            label = self.queue.flag(said.question) if said.do == "flag" else self.queue.note(said.question, said.text)
            return {"said": f"saved as #{label.number}"}
        if said.do == "step":
            self.queue.step(said.by)
        elif said.do == "open":
            self.queue.resume()
        elif said.do == "go":
            self.queue.go(said.question)
        elif said.do == "hide":
            self._hidden = not self._hidden
        elif said.do == "order" and said.text in ORDERS:
            self._order = next(one for one in ORDERS if one == said.text)
            self._open(self.queue.annotator)
        elif said.do == "annotator":
            self._open(annotator_name(said.text[:100]))
        return {}

    def _do_answer(self, said: Said) -> dict[str, Any]:
        question = self._question(said.question)
        answer = self._answer(question, said)
        if isinstance(answer, dict):
            return answer
        return self._stored(self.queue.label(question.id, answer))

    def _answer(self, question: Question, said: Said) -> Answer | dict[str, Any]:
        """The answer in the question's own terms, or what to show instead where a correction is wrong."""
        order = side_order(question, self.queue.annotator)
        shuffled = order if question.kind == "preference" else ()
        seen = "" if self._hidden or not question.suggestions else question.suggestions[0].origin
        told = {"order": shuffled, "suggested": seen, "seconds": said.seconds}
        if said.verdict == "corrected" and question.kind == "reading":
            calls, problems = read_calls(said.text, question.tools)
            if problems:
                return {"check": problems, "fault": "not stored: the call does not hold yet"}
            return Answer(verdict="corrected", calls=calls, **told)
        if said.verdict == "corrected" and not said.text.strip():
            return {"fault": "not stored: the correction is empty"}
        text = said.text if said.verdict == "corrected" else ""
        return Answer(verdict=as_asked(said.verdict or "open", order), text=text, **told)

    def _do_accept(self, said: Said) -> dict[str, Any]:
        question = self._question(said.question)
        if self._hidden or not question.suggestions:
            return {"fault": "there is no suggestion in sight to accept"}
        first = question.suggestions[0]
        order = side_order(question, self.queue.annotator) if question.kind == "preference" else ()
        answer = Answer(
            verdict=first.verdict, origin="accepted", suggested=first.origin, order=order, seconds=said.seconds
        )
        return self._stored(self.queue.label(question.id, answer))

    def _do_settle(self, said: Said) -> dict[str, Any]:
        question = self._question(said.question)
        answer = self._answer(question, said)
        if isinstance(answer, dict):
            return answer
        label = self.queue.settle(question.id, answer)
        return {"said": f"settled, saved as #{label.number}"} | self._do_disputed(said)

    def _do_check(self, said: Said) -> dict[str, Any]:
        return {"check": read_calls(said.text, self._question(said.question).tools)[1]}

    def _do_bulk(self, said: Said) -> dict[str, Any]:
        done = self.queue.accept_above(said.threshold, self._options.audit_share, self._options.seed)
        words = f"{len(done.accepted)} accepted in one stroke, {len(done.audit)} of them come back to be looked at"
        return {"said": words if done.accepted else "no open question has a suggestion as sure as that"}

    def _do_disputed(self, _: Said) -> dict[str, Any]:
        found = agreement(self._store.labels())
        numbers = [(name, one) for name, one in (("kappa", found.kappa), ("alpha", found.alpha)) if one is not None]
        told = [{"name": name, "warning": one.warning, **one.model_dump()} for name, one in numbers]
        held = audited(self._store.labels())
        audit = f"{held.value:.0%} of {held.n} labels accepted in bulk and looked at were confirmed" if held.n else ""
        view = {"questions": disputed_view(self.queue), "agreement": told, "rated": found.same.n, "audit": audit}
        return {"disputed": view}

    def _stored(self, label: Any) -> dict[str, Any]:
        self.queue.resume()
        return {"said": f"saved as #{label.number}"}

    def _told(self, words: str, done: Any) -> dict[str, Any]:
        return {"said": f"{words}, saved as #{done.number}" if done else f"nothing to be {words}"}

    def _question(self, identity: str) -> Question:
        return next(one for one in self.queue.questions if one.id == identity)


def labelling(
    questions: Sequence[Question], state: Path, annotator: str = "", options: LabelOptions = LabelOptions()
) -> Labeller:
    """The widget over the ledger of a state folder."""
    return Labeller(questions, LabelStore(open_ledger(state)), annotator, options)


def _in_words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "not stored: the browser sent what is no action of this widget"
    return f"not stored: {error}"
