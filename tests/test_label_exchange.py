"""Labels written to a file come back as they were, and a file twice adds nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kt_lib.errors import SourceError
from kt_lib.label_store import LabelStore
from kt_lib.labelling.exchange import COLUMNS, export_labels, import_labels
from kt_lib.labels import VERDICTS, Answer, Label
from kt_lib.ledger import Ledger
from kt_lib.records import ToolCall


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        yield LabelStore(ledger)


def label(name: str = "q", annotator: str = "ann", **answer: object) -> Label:
    told = Answer.model_validate({"verdict": "yes", **answer})
    return Label(
        question=name, kind="turn", subject="s", group="g", annotator=annotator, answer=told, number=1, time=2.5
    )


TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r\x0b\x0c\x1c\x1d\x1e\x85"), max_size=40
)
VALUES = st.one_of(
    st.text(max_size=5), st.integers(-9, 9), st.booleans(), st.none(), st.lists(st.integers(), max_size=2)
)
LABELS = st.builds(
    lambda name, kind, annotator, seconds, at, **answer: Label(
        question=name,
        kind=kind,
        subject="s",
        group="g",
        annotator=annotator,
        answer=Answer(verdict=VERDICTS[kind][at % len(VERDICTS[kind])], seconds=seconds, **answer),
        number=at + 1,
        time=float(at),
    ),
    name=st.text("abc123", min_size=1, max_size=8),
    kind=st.sampled_from(list(VERDICTS)),
    annotator=TEXT.filter(str.strip),
    seconds=st.floats(0, 1e6),
    at=st.integers(0, 1000),
    text=TEXT,
    note=TEXT,
    flagged=st.booleans(),
    order=st.sampled_from([(), (0, 1), (1, 0)]),
    origin=st.sampled_from(["person", "accepted", "bulk", "settled"]),
    suggested=st.sampled_from(["", "rating"]),
    calls=st.lists(
        st.builds(
            ToolCall, name=st.text("ab", min_size=1), arguments=st.dictionaries(st.text("ab"), VALUES, max_size=2)
        ),
        max_size=2,
    ).map(tuple),
)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.lists(LABELS, max_size=6, unique_by=lambda one: (one.question, one.annotator)))
def test_whatever_was_said_comes_back_as_it_was(tmp_path: Path, suffix: str, labels: list[Label]) -> None:
    file = tmp_path / f"labels.{suffix}"
    assert export_labels(labels, file) == len(labels)
    with Ledger("sqlite://") as ledger:
        store = LabelStore(ledger)
        taken = import_labels(file, store)
        assert (taken.read, taken.new, taken.set_aside) == (len(labels), len(labels), ())
        back = {(one.question, one.annotator): one for one in store.labels()}
        assert import_labels(file, store).new == 0, "the same file twice adds nothing"
    for one in labels:
        assert back[one.question, one.annotator].answer == one.answer
        assert back[one.question, one.annotator].time == one.time


@pytest.mark.parametrize("attack", ['=HYPERLINK("https://evil.example")', "+1+1", "-1", "@SUM(A1)", "\t=1", "'=1"])
def test_a_note_is_no_formula_in_a_spreadsheet(tmp_path: Path, attack: str) -> None:
    export_labels([label(note=attack)], tmp_path / "labels.csv")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "labels.csv").read_text(), newline=""))
    assert row["note"] == f"'{attack}"
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in row.values())


def test_bad_rows_are_set_aside_with_reason_and_line_and_the_others_stay(store: LabelStore, tmp_path: Path) -> None:
    good = label().model_dump_json()
    wrong = label("w").model_dump_json().replace('"yes"', '"first"')
    file = tmp_path / "labels.jsonl"
    file.write_text(f"{good}\n{{broken\n\n{wrong}\n[1]\n")
    taken = import_labels(file, store)
    assert (taken.read, taken.new) == (1, 1)
    assert [(one.source.place, one.reason.split(":")[0]) for one in taken.set_aside] == [
        ("line 2", "no JSON object"),
        ("line 4", "'first' is no answer to a turn question"),
        ("line 5", "no JSON object"),
    ]


def test_rows_without_a_name_get_the_one_given_and_are_refused_without(store: LabelStore, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("question,kind,subject,verdict\nq,turn,s,no\n")
    with pytest.raises(SourceError, match="names no annotator"):
        import_labels(file, store)
    assert import_labels(file, store, "eve").new == 1
    assert [(one.annotator, one.answer.verdict) for one in store.labels()] == [("eve", "no")]


def test_secrets_in_a_file_are_not_stored(store: LabelStore, tmp_path: Path) -> None:
    given = [label("a", note="ask jane.doe@example.com"), label("b", verdict="skipped", text="jane.doe@example.com")]
    export_labels(given, tmp_path / "labels.jsonl")
    import_labels(tmp_path / "labels.jsonl", store)
    assert "jane.doe" not in "".join(one.model_dump_json() for one in store.labels())


def test_of_two_labels_the_later_one_holds_wherever_it_stood(store: LabelStore, tmp_path: Path) -> None:
    early, late = label("a", verdict="yes"), label("a", verdict="no").model_copy(update={"time": 9.0})
    for name, order in (("both", [late, early]), ("early", [early])):
        export_labels(order, tmp_path / f"{name}.jsonl")
    assert import_labels(tmp_path / "both.jsonl", store).new == 1
    for _ in range(2):
        again = import_labels(tmp_path / "both.jsonl", store)
        assert (again.new, again.older) == (0, 0)
    taken = import_labels(tmp_path / "early.jsonl", store)
    assert (taken.new, taken.older) == (0, 1)
    assert [one.answer.verdict for one in store.labels()] == ["no"]


def test_a_line_separator_within_a_note_breaks_no_row(store: LabelStore, tmp_path: Path) -> None:
    export_labels([label(note="one\u2028two")], tmp_path / "labels.jsonl")
    assert import_labels(tmp_path / "labels.jsonl", store).read == 1


def test_a_file_that_is_none_is_told(store: LabelStore, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        import_labels(tmp_path / "none.jsonl", store)


def test_the_columns_are_all_that_a_label_says() -> None:
    fields = set(Label.model_fields) - {"answer"} | set(Answer.model_fields)
    assert set(COLUMNS) == fields
