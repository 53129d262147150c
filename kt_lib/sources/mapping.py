"""From a record as it stands in a file to the values in it: tell its kind, name where it stands, map it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kt_lib.errors import SourceError
from kt_lib.records import Provenance, ToolSpec
from kt_lib.sources.bfcl import answers_beside, question_from, read_answers
from kt_lib.sources.fields import clean
from kt_lib.sources.found import Found
from kt_lib.sources.intercode import intercode_from
from kt_lib.sources.judged import nl2bash_row, taskmaster_row
from kt_lib.sources.licences import Terms, licence_beside
from kt_lib.sources.openwebui import chat_from, rated_chat_from
from kt_lib.sources.rows import alpaca_row, openai_row, sharegpt_row
from kt_lib.sources.sniffing import Kind, kind_of
from kt_lib.sources.star import dialogue_from, is_schema, tools_beside
from kt_lib.sources.star_suggestions import Wordings, wordings_beside
from kt_lib.sources.suites import report_from, trace_from
from kt_lib.sources.toolsets import glaive_row, xlam_row
from kt_lib.sources.trajectories import trajectory_from

_READERS: dict[Kind, Callable[[dict[str, Any], Provenance], Found]] = {
    "openwebui.chat": chat_from,
    "openwebui.feedback": rated_chat_from,
    "trajectory": trajectory_from,
    "suite.report": report_from,
    "suite.trace": trace_from,
    "openai.row": openai_row,
    "sharegpt.row": sharegpt_row,
    "alpaca.row": alpaca_row,
    "xlam.row": xlam_row,
    "glaive.row": glaive_row,
    "taskmaster.action": taskmaster_row,
    "nl2bash.judgement": nl2bash_row,
}
_CHAT_FORMS = {
    "list": "openwebui.export",
    "object": "openwebui.export",
    "lines": "openwebui.ndjson",
    "sqlite": "openwebui.database",
}


class FileReader:
    """Maps the records of one file; knows its digest, and its answer key where it is a BFCL file."""

    def __init__(
        self, path: Path, sha256: str, holder: str, answers: Mapping[str, dict[str, Any]] | None, terms: Terms
    ) -> None:
        self._path = path
        # A file's name may hold bytes that are no text.
        self.name = clean(path.name)
        self._sha256 = sha256
        self._holder = holder
        self._answers = answers
        self._star: tuple[dict[str, ToolSpec], Wordings] | None = None
        self._licence = terms.licence or licence_beside(path)
        self._consent = terms.consent
        self.formats: dict[str, int] = {}
        """How many records were read as what."""

    def source(self, place: str, form: str) -> Provenance:
        """Where a record stands."""
        return Provenance(
            file=self.name,
            sha256=self._sha256,
            format=form,
            place=place,
            licence=self._licence,
            consent=self._consent,
        )

    def found(self, value: Any, place: str) -> Found:
        """What a record holds; `Unusable` when it cannot be used, `SourceError` when its file's answer key cannot."""
        kind = kind_of(value)
        form = _CHAT_FORMS.get(self._holder, kind) if kind == "openwebui.chat" else kind
        self.formats[form] = self.formats.get(form, 0) + 1
        source = self.source(place, form)
        if kind == "bfcl.question":
            return question_from(value, source, self._answer_key())
        if kind == "intercode.result":
            return intercode_from(value, source, self._path.absolute().parent.name)
        if kind == "star.dialogue":
            tools, wordings = self._beside_star()
            return dialogue_from(value, source, tools, wordings)
        return _READERS[kind](value, source)

    def _beside_star(self) -> tuple[Mapping[str, ToolSpec], Wordings]:
        if self._star is None:
            self._star = tools_beside(self._path), wordings_beside(self._path)
        return self._star

    def _answer_key(self) -> Mapping[str, dict[str, Any]]:
        if self._answers is None:
            beside = answers_beside(self._path)
            self._answers = read_answers(beside) if beside is not None else {}
        return self._answers


def named_files(path: Path) -> list[Path]:
    """A file as itself, a folder as the readable files below it (answer keys left out); `SourceError` when none is."""
    if not path.exists():
        raise SourceError(f"{path} does not exist")
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SourceError(f"{path} is no file: write what it gives to a file first")
    suffixes = {".json", ".jsonl", ".ndjson", ".raw", ".csv", ".parquet", ".db", ".sqlite", ".sqlite3"}
    files = [
        one
        for one in sorted(path.rglob("*"))
        if one.is_file()
        and one.suffix.lower() in suffixes
        and not any(part.startswith(".") or part == "possible_answer" for part in one.relative_to(path).parts)
        and not is_schema(one)
    ]
    if not files:
        raise SourceError(f"{path} holds no file to ingest ({', '.join(sorted(suffixes))})")
    return files
