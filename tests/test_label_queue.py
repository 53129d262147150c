"""The label queue: every action is stored at once and can be taken back, and nothing is ever lost or overwritten."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import event

from kt_lib.errors import KtError, StaleLabel
from kt_lib.label_store import LabelStore
from kt_lib.labelling.order import ORDERS, ordered, shared_out
from kt_lib.labelling.queue import Queue
from kt_lib.labelling.together import agreement, audited
from kt_lib.labels import Answer, Question, Side, Suggestion, Verdict
from kt_lib.ledger import Ledger
from kt_lib.records import ToolCall


def question(name: str, *suggestions: tuple[Verdict, float], words: str = "") -> Question:
    return Question(
        id=name,
        kind="turn",
        subject=f"message {name}",
        group=f"chat {name}",
        sides=(Side(name="chat", text=words or f"answer to {name}"),),
        suggestions=tuple(Suggestion(verdict=verdict, score=score, origin="rating") for verdict, score in suggestions),
    )


QUESTIONS = [question(name) for name in "abcdef"]
YES, NO = Answer(verdict="yes"), Answer(verdict="no")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as one:
        yield one


@pytest.fixture
def store(ledger: Ledger) -> LabelStore:
    return LabelStore(ledger)


def queue(store: LabelStore, annotator: str = "ann", questions: list[Question] = QUESTIONS) -> Queue:
    return Queue(store, questions, annotator, order="as_is")


def stored(store: LabelStore) -> dict[tuple[str, str], Answer]:
    return {(one.question, one.annotator): one.answer for one in store.labels()}


def test_an_answer_is_stored_at_once_and_a_new_queue_goes_on_at_the_next_question(store: LabelStore) -> None:
    first = queue(store)
    first.label("a", YES)
    first.skip("b", "cannot tell")
    again = queue(store)
    assert again.current == QUESTIONS[2]
    assert again.answer_of("a") == YES
    assert (again.progress().done, again.progress().skipped, again.progress().total) == (1, 1, 6)


def test_a_new_queue_opens_at_the_same_item_also_when_the_order_has_changed(store: LabelStore) -> None:
    first = queue(store)
    first.label("a", YES)
    first.go("e")
    assert queue(store, questions=QUESTIONS[::-1]).current == QUESTIONS[4]
    first.label("e", YES)
    again = queue(store, questions=QUESTIONS[::-1])
    assert again.current
    assert again.is_open(again.current.id)


def test_undo_takes_the_stored_row_back_and_redo_gives_it_again(store: LabelStore) -> None:
    one = queue(store)
    one.label("a", YES)
    one.label("a", NO)
    assert one.undo()
    assert stored(store) == {("a", "ann"): YES}
    assert one.undo()
    assert stored(store) == {}
    assert one.undo() is None
    assert one.redo()
    assert one.redo()
    assert stored(store) == {("a", "ann"): NO}
    assert one.redo() is None
    assert one.current == QUESTIONS[0]


def test_a_label_of_an_earlier_session_can_be_taken_back(store: LabelStore) -> None:
    queue(store).label("d", YES)
    later = queue(store)
    assert later.undo()
    assert stored(store) == {}
    assert later.current
    assert later.current.id == "d"


def test_a_second_tab_is_told_and_overwrites_nothing_that_it_has_not_seen(store: LabelStore) -> None:
    one, other = queue(store), queue(store)
    one.label("a", YES)
    other.label("b", NO)
    with pytest.raises(StaleLabel, match="another tab"):
        other.label("a", NO)
    assert other.answer_of("a") == YES, "it has looked again"
    other.label("a", NO)
    assert stored(store)["a", "ann"] == NO
    with pytest.raises(StaleLabel):
        one.undo()


def test_flags_notes_and_skips_stay_with_the_question_and_hold_no_secret(store: LabelStore) -> None:
    one = queue(store)
    one.flag("a")
    one.note("a", "mail it to jane.doe@example.com")
    assert one.is_open("a"), "flagging is no answer"
    one.label("a", YES)
    answer = one.answer_of("a")
    assert answer
    assert answer.flagged
    assert "jane.doe" not in answer.note
    assert answer.note.startswith("mail it to")
    one.flag("a")
    assert not stored(store)["a", "ann"].flagged


@pytest.mark.parametrize(
    ("answer", "why"), [(Answer(verdict="tie"), "no answer to"), (Answer(verdict="skipped"), "reason")]
)
def test_an_answer_that_is_none_is_refused(store: LabelStore, answer: Answer, why: str) -> None:
    with pytest.raises(KtError, match=why):
        queue(store).label("a", answer)
    assert stored(store) == {}


def test_many_are_accepted_in_one_stroke_with_some_to_be_looked_at(store: LabelStore) -> None:
    sure = [question(f"s{at}", ("yes", 0.95)) for at in range(20)]
    unsure = [question("u", ("yes", 0.6)), question("c", ("yes", 0.99), ("no", 0.7))]
    one = queue(store, questions=[*sure, *unsure])
    done = one.accept_above(0.9, audit_share=0.2, seed=3)
    assert len(done.accepted) == 20
    assert len(done.audit) == 4
    assert set("uc") | set(done.audit) == {q.id for q in one.questions if one.is_open(q.id)}
    one.note(done.audit[0], "hm")
    assert one.is_open(done.audit[0]), "a note is no look"
    one.label(done.audit[0], YES)
    one.label(done.audit[1], NO)
    found = audited(store.labels("ann"))
    assert (found.value, found.n) == (0.5, 2)
    one.undo()
    one.undo()
    one.undo()
    assert one.undo()
    assert stored(store) == {}, "one undo takes the whole stroke back"


def test_a_disagreement_is_listed_until_it_is_settled(store: LabelStore) -> None:
    queue(store, "ann").label("a", YES)
    other = queue(store, "bob")
    other.label("a", NO)
    other.label("b", NO)
    ((asked, labels),) = other.disagreements()
    assert (asked.id, {label.annotator for label in labels}) == ("a", {"ann", "bob"})
    queue(store, "eve").settle("a", YES)
    assert other.disagreements() == []


def test_agreement_is_measured_on_what_at_least_two_rated_by_themselves(store: LabelStore) -> None:
    ann, bob = queue(store, "ann"), queue(store, "bob")
    for name, (first, second) in zip("abcd", [(YES, YES), (NO, NO), (YES, NO), (YES, YES)], strict=True):
        ann.label(name, first)
        bob.label(name, second)
    ann.label("e", NO)
    found = agreement(store.labels())
    assert (found.annotators, found.same.n, found.same.value) == (("ann", "bob"), 4, 0.75)
    assert found.kappa
    assert found.kappa.value == pytest.approx(0.5)


def test_two_corrections_agree_only_when_they_say_the_same(store: LabelStore) -> None:
    asked = [question(name).model_copy(update={"kind": "reading"}) for name in "ab"]
    for who, commands in (("ann", ("df", "df")), ("bob", ("df", "free"))):
        one = queue(store, who, asked)
        for name, command in zip("ab", commands, strict=True):
            call = ToolCall(name="bash", arguments={"command": command})
            one.label(name, Answer(verdict="corrected", calls=(call,)))
    assert agreement(store.labels()).same.value == 0.5
    assert [one.id for one, _ in queue(store, "ann", asked).disagreements()] == ["b"]


def test_what_was_accepted_in_bulk_is_nobodys_disagreement(store: LabelStore) -> None:
    asked = [question("a", ("yes", 0.99))]
    queue(store, "ann", asked).accept_above(0.9)
    queue(store, "bob", asked).label("a", NO)
    assert queue(store, "bob", asked).disagreements() == []


def test_answers_accepted_by_a_key_count_for_the_rate(store: LabelStore) -> None:
    one = queue(store)
    for name in "abc":
        one.label(name, Answer(verdict="yes", origin="accepted"))
    assert one.progress().per_hour


def test_the_order_asks_first_where_most_is_to_be_learned() -> None:
    sure, coin = question("sure", ("yes", 0.97)), question("coin", ("yes", 0.52))
    torn, silent = question("torn", ("yes", 0.9), ("no", 0.8)), question("silent")
    assert [one.id for one in ordered([sure, silent, coin, torn], "uncertain")] == ["torn", "coin", "silent", "sure"]
    alike = [question(f"disk{at}", words="how full is the disk") for at in range(5)]
    odd = question("odd", words="translate this poem into Norwegian please")
    assert "odd" in [one.id for one in ordered([*alike, odd], "diverse")[:2]]
    for order in ORDERS:
        assert sorted(one.id for one in ordered([*alike, odd], order)) == sorted(one.id for one in [*alike, odd])


def test_annotators_share_the_questions_and_overlap_as_far_as_asked() -> None:
    many = [question(f"q{at}") for at in range(1000)]
    ann, bob = (shared_out(many, name, ["ann", "bob"], 0.2) for name in ("ann", "bob"))
    both = {one.id for one in ann} & {one.id for one in bob}
    assert len({one.id for one in [*ann, *bob]}) == 1000
    assert 150 < len(both) < 250
    assert shared_out(many, "guest", ["ann", "bob"], 0.2) == many


# --- any sequence of actions -----------------------------------------------------------------------------------------

NAMES = st.sampled_from("abcdef")
VERDICTS = st.sampled_from(["yes", "no"])
WHO = st.sampled_from(["ann", "bob"])


class Crashed(Exception):
    """The power went."""


class QueueMachine(RuleBasedStateMachine):
    """Two annotators, one of them with a second tab, against a model of lists: rows, what was done, what was undone."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(f"sqlite:///{self.folder.name}/ledger.db")
        self.store = LabelStore(self.ledger)
        self.open = {name: self.queue(name) for name in ("ann", "bob")}
        self.tab = self.queue("ann")
        self.rows: dict[tuple[str, str], Answer] = {}
        self.done: dict[str, list] = {"ann": [], "bob": []}
        self.undone: dict[str, list] = {"ann": [], "bob": []}

    def queue(self, name: str) -> Queue:
        return Queue(self.store, [question(one, ("yes", 0.9)) for one in "abcdef"], name, order="as_is")

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    def act(self, who: str, action, change) -> None:
        """An action in the first tab; when the second tab was faster it is told, and has to try again."""
        try:
            action(self.open[who])
        except StaleLabel:
            action(self.open[who])
        change()

    def labelled(self, who: str, changes: dict[str, Answer]) -> None:
        before = {name: self.rows.get((name, who)) for name in changes}
        self.done[who].append((before, changes))
        self.undone[who].clear()
        for name, answer in changes.items():
            self.rows[name, who] = answer

    def moved(self, who: str, source: dict, target: dict, side: int) -> None:
        if source[who]:
            change = source[who].pop()
            target[who].append(change)
            for name, answer in change[side].items():
                self.rows.pop((name, who), None)
                if answer is not None:
                    self.rows[name, who] = answer

    def expected(self, who: str, name: str, answer: Answer) -> Answer:
        before = self.rows.get((name, who))
        if before is None:
            return answer
        looked = "confirmed" if answer.verdict == before.verdict else "changed"
        audit = "" if answer.verdict == "skipped" else looked if before.audit == "due" else before.audit
        return answer.model_copy(update={"flagged": before.flagged, "note": before.note, "audit": audit})

    @rule(who=WHO, name=NAMES, verdict=VERDICTS)
    def label(self, who: str, name: str, verdict: Verdict) -> None:
        answer = Answer(verdict=verdict)
        stored = self.expected(who, name, answer)
        self.act(who, lambda one: one.label(name, answer), lambda: self.labelled(who, {name: stored}))

    @rule(who=WHO, name=NAMES)
    def skip(self, who: str, name: str) -> None:
        stored = self.expected(who, name, Answer(verdict="skipped", text="unclear"))
        self.act(who, lambda one: one.skip(name, "unclear"), lambda: self.labelled(who, {name: stored}))

    @rule(who=WHO, name=NAMES, text=st.sampled_from(["look", "ask"]))
    def note(self, who: str, name: str, text: str) -> None:
        before = self.rows.get((name, who)) or Answer(verdict="open")
        stored = before.model_copy(update={"note": text})
        self.act(who, lambda one: one.note(name, text), lambda: self.labelled(who, {name: stored}))

    @rule(who=WHO, name=NAMES)
    def flag(self, who: str, name: str) -> None:
        before = self.rows.get((name, who)) or Answer(verdict="open")
        stored = before.model_copy(update={"flagged": not before.flagged})
        self.act(who, lambda one: one.flag(name), lambda: self.labelled(who, {name: stored}))

    @rule(who=WHO)
    def undo(self, who: str) -> None:
        self.act(who, lambda one: one.undo(), lambda: self.moved(who, self.done, self.undone, 0))

    @rule(who=WHO)
    def redo(self, who: str) -> None:
        self.act(who, lambda one: one.redo(), lambda: self.moved(who, self.undone, self.done, 1))

    @rule()
    def accept_many(self) -> None:
        # By the second annotator, who has one tab: which questions are open is then known to the queue.
        one = self.open["bob"]
        opened = [name for name in "abcdef" if one.is_open(name)]
        accepted = one.accept_above(0.8, audit_share=0.3)
        assert list(accepted.accepted) == opened
        if opened:
            changes = {name: answer for name in opened if (answer := one.answer_of(name))}
            self.labelled("bob", changes)

    @rule(name=NAMES)
    def second_tab(self, name: str) -> None:
        before = self.rows.get((name, "ann"))
        try:
            self.tab.label(name, Answer(verdict="yes"))
        except StaleLabel:
            assert self.tab.answer_of(name) == before, "it overwrote nothing and has looked again"
        else:
            self.labelled("ann", {name: self.expected("ann", name, Answer(verdict="yes"))})

    @rule(who=WHO)
    def reload(self, who: str) -> None:
        self.ledger.close()
        self.ledger = Ledger(f"sqlite:///{self.folder.name}/ledger.db")
        self.store = LabelStore(self.ledger)
        self.open = {name: self.queue(name) for name in self.open}
        self.tab = self.queue("ann")
        current = self.open[who].current
        assert current
        if any(self.open[who].is_open(name) for name in "abcdef"):
            assert self.open[who].is_open(current.id), "it goes on where something is open"

    @precondition(lambda self: self.open["bob"].current is not None)
    @rule(name=NAMES, verdict=VERDICTS)
    def crash(self, name: str, verdict: Verdict) -> None:
        """The process dies after the rows were written and before they were committed."""

        def die(connection: object) -> None:
            raise Crashed

        event.listen(self.ledger.engine, "commit", die)
        try:
            with pytest.raises(Crashed):
                self.open["bob"].label(name, Answer(verdict=verdict))
        finally:
            event.remove(self.ledger.engine, "commit", die)

    @invariant()
    def what_is_stored_is_what_was_said(self) -> None:
        assert stored(self.store) == self.rows

    @invariant()
    def no_two_labels_share_a_number(self) -> None:
        numbers = [label.number for label in self.store.labels()]
        assert len(set(numbers)) == len(numbers)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_a_corrected_reading_keeps_its_calls(store: LabelStore) -> None:
    asked = question("r").model_copy(update={"kind": "reading"})
    calls = (ToolCall(name="bash", arguments={"command": "df -h"}),)
    queue(store, questions=[asked]).label("r", Answer(verdict="corrected", calls=calls))
    assert stored(store)["r", "ann"].calls == calls
