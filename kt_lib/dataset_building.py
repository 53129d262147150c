"""Builds a declared mix: gathers its sources, cleans them, draws, and freezes the result with card and content hash."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kt_lib.artifacts import file_digest, write_whole
from kt_lib.datafiles.card import dataset_card
from kt_lib.datafiles.layouts import write_pairs, write_rows
from kt_lib.datafiles.lengths import Ruler
from kt_lib.dataset_sources import MADE_HERE, Given, OnSource, Workplace, gathered
from kt_lib.deduplication import without_copies, without_near
from kt_lib.errors import ParameterError, SetupError
from kt_lib.evidence_pairs import without_contradictions
from kt_lib.leakage import LeakageReport, measure_leakage, refuse_leaks
from kt_lib.mixes import Mix
from kt_lib.mixing import FunnelStep, Mixed, SourceLine, mixed
from kt_lib.permissions import OWN_CHATS, Purpose, enforce
from kt_lib.preparing import prepared
from kt_lib.records import PreferencePair, Protocol, Record, SftRow, Task
from kt_lib.yaml_files import read_yaml

_SHIPPED = files("kt_lib") / "shipped_mixes"
REPORT = "mix.json"


class Built(Record):
    """A dataset as it was built."""

    name: str
    """The mix."""
    rows: int
    """SFT rows."""
    pairs: int
    """Preference pairs, every one of them verified by what its evidence says."""
    sources: tuple[SourceLine, ...]
    """What was asked, available and used, by source."""
    funnel: tuple[FunnelStep, ...]
    """From the sources' rows to the dataset."""
    pairs_funnel: tuple[FunnelStep, ...]
    """The same for pairs."""
    left_out: dict[str, dict[str, int]]
    """What sources hold that gave neither row nor pair, by source and reason."""
    leakage: LeakageReport
    """What was held against what after cleaning."""
    digest: str
    """Hash over the rows in their order."""
    files: dict[str, str]
    """sha256 of each file."""


def shipped_mixes() -> list[str]:
    """Names of the mixes that ship with kt."""
    return sorted(file.name.removesuffix(".yaml") for file in _SHIPPED.iterdir() if file.name.endswith(".yaml"))


def mix_of(name_or_path: str, changes: dict[str, Any] | None = None) -> Mix:
    """A shipped mix by its name, or one of your own by its YAML file, with some fields set anew.

    ParameterError, with the known names or the faults, for a name nobody knows and a file that is no mix.
    """
    if name_or_path in shipped_mixes():
        with as_file(_SHIPPED / f"{name_or_path}.yaml") as path:
            values = read_yaml(path, "mix", ParameterError)
    elif Path(name_or_path).suffix in (".yaml", ".yml"):
        values = read_yaml(Path(name_or_path), "mix", ParameterError)
    else:
        known = ", ".join(shipped_mixes())
        raise ParameterError(f"no mix is called {name_or_path!r}: take one of {known}, or a YAML file")
    try:
        return Mix.model_validate({**values, **(changes or {})})
    except (ValidationError, TypeError) as error:
        faults = error.errors() if isinstance(error, ValidationError) else [{"loc": (), "msg": "it holds no fields"}]
        told = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the mix'}: {one['msg']}" for one in faults)
        raise ParameterError(f"{name_or_path}: {told}") from None


def build(
    mix: Mix,
    place: Workplace,
    out: Path,
    *,
    protocol: Protocol,
    ruler: Ruler,
    threshold: float,
    max_length: int | None = None,
    purpose: Purpose = "train",
    allow: Sequence[str] = (),
    on_source: OnSource = lambda name: None,
) -> Built:
    """Writes rows and pairs (TRL's layout, JSON lines and Parquet), card and report of a mix to the folder `out`.

    Rows near an evaluation task of `place` are taken out first, and LeakageError is raised if any is found afterwards.
    """
    _refuse_other_folder(out)
    given = gathered(mix, place, protocol, on_source)
    people = OWN_CHATS | {name for name, one in given.items() if one.private}
    on_source("cleaning")
    ready = prepared({name: one.rows for name, one in given.items()}, place.tasks, threshold, ruler, max_length)
    shared = {name: enforce(rows, purpose, allow, people)[0] for name, rows in ready.sources.items()}
    drawn = mixed(mix, shared)
    pairs, pairs_funnel = _pairs(mix, given, place.tasks, threshold, purpose, allow, people)
    funnel = [*ready.funnel]
    if purpose == "share":
        left = _reasons(ready.sources, allow, people)
        funnel.append(FunnelStep(step="may be shared", rows=sum(map(len, shared.values())), left_out=left))
    funnel.append(_drawn(drawn, shared))
    drawn = drawn.model_copy(update={"lines": _with_pairs(drawn.lines, pairs)})
    if not drawn.rows and not pairs:
        raise SetupError(f"the mix {mix.name!r} finds nothing to draw: {_why_nothing(mix)}")
    leakage = measure_leakage(place.tasks, drawn.rows, pairs, (), threshold)
    refuse_leaks(leakage)
    on_source("writing")
    card = dataset_card(
        drawn.rows,
        pairs,
        leakage=leakage,
        funnel=funnel,
        pairs_funnel=pairs_funnel,
        sources=drawn.lines,
        ruler=ruler,
        content_hash=drawn.digest,
        name=mix.name,
    )
    return _frozen(out, mix, drawn, pairs, funnel, pairs_funnel, given, leakage, card)


def _drawn(drawn: Mixed, pools: Mapping[str, Sequence[SftRow]]) -> FunnelStep:
    unasked = sum(max(0, len(pool) - line.used) for pool, line in zip(pools.values(), drawn.lines, strict=True))
    again = sum(line.repeated for line in drawn.lines)
    step = f"drawn by the mix{f', {again:,} of them again' if again else ''}"
    return FunnelStep(step=step, rows=len(drawn.rows), left_out={"more than asked for": unasked} if unasked else {})


def _with_pairs(lines: Iterable[SourceLine], pairs: Sequence[PreferencePair]) -> tuple[SourceLine, ...]:
    """The lines, those that give pairs and no rows marked so: they are not absent."""
    counts = Counter(pair.source for pair in pairs)
    note = "gives no rows, and {:,} pairs"
    return tuple(
        line.model_copy(update={"note": note.format(counts[line.name])})
        if not line.available and counts[line.name]
        else line
        for line in lines
    )


def _why_nothing(mix: Mix) -> str:
    strange = [name for name, one in mix.sources.items() if not one.files and name not in MADE_HERE]
    return f"{', '.join(strange)} comes from `--files`" if strange else "its sources are empty"


def _refuse_other_folder(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / REPORT).is_file():
        raise SetupError(f"{out} holds other things and no dataset of kt's: name a new folder with --out")


def _reasons(sources: dict[str, Any], allow: Sequence[str], people: Collection[str]) -> dict[str, int]:
    return enforce([row for rows in sources.values() for row in rows], "share", allow, people)[1]


def _pairs(
    mix: Mix,
    given: dict[str, Given],
    tasks: Iterable[Task],
    threshold: float,
    purpose: Purpose,
    allow: Sequence[str],
    people: Collection[str],
) -> tuple[list[PreferencePair], list[FunnelStep]]:
    pairs = [pair.model_copy(update={"source": name}) for name, one in given.items() for pair in one.pairs]
    funnel = [FunnelStep(step="given by the sources", rows=len(pairs))]
    pairs, why = enforce(pairs, "train")
    if purpose == "share":
        pairs, more = enforce(pairs, "share", allow, people)
        why |= more
    funnel.append(FunnelStep(step="permitted", rows=len(pairs), left_out=why))
    contradictory = Counter[str]()
    pairs = without_contradictions(pairs, contradictory)
    funnel.append(FunnelStep(step="free of contradictions", rows=len(pairs), left_out=dict(contradictory)))
    pairs, why = without_copies(pairs, threshold)
    funnel.append(FunnelStep(step="each once", rows=len(pairs), left_out=why))
    pairs, why = without_near(pairs, tasks, threshold)
    funnel.append(FunnelStep(step="far from every evaluation task", rows=len(pairs), left_out=why))
    pairs, why = _no_more_than_rows(mix, pairs)
    funnel.append(FunnelStep(step="of each source no more than rows are asked of it", rows=len(pairs), left_out=why))
    return pairs, funnel


def _no_more_than_rows(mix: Mix, pairs: Sequence[PreferencePair]) -> tuple[list[PreferencePair], dict[str, int]]:
    """Pairs drawn by source, so that none swamps the others: thousands of drafts would outweigh everything else."""
    kept: list[PreferencePair] = []
    why: dict[str, int] = {}
    for name, portion in mix.sources.items():
        own, most = [pair for pair in pairs if pair.source == name], portion.asked(mix.rows)
        drawn = random.Random(f"{mix.seed} pairs {name}").sample(own, min(most, len(own)))
        kept += drawn
        why |= {f"more than {most:,} of `{name}`": len(own) - len(drawn)} if len(drawn) < len(own) else {}
    return kept, why


def _frozen(
    out: Path,
    mix: Mix,
    drawn: Mixed,
    pairs: list[PreferencePair],
    funnel: Sequence[FunnelStep],
    pairs_funnel: Sequence[FunnelStep],
    given: dict[str, Given],
    leakage: LeakageReport,
    card: str,
) -> Built:
    out.mkdir(parents=True, exist_ok=True)
    names = []
    for ending in ("jsonl", "parquet"):
        write_rows(out / f"rows.{ending}", drawn.rows)
        write_pairs(out / f"pairs.{ending}", pairs)
        names += [f"rows.{ending}", f"pairs.{ending}"]
    write_whole(out / "README.md", card)
    built = Built(
        name=mix.name,
        rows=len(drawn.rows),
        pairs=len(pairs),
        sources=drawn.lines,
        funnel=tuple(funnel),
        pairs_funnel=tuple(pairs_funnel),
        left_out={name: one.left_out for name, one in given.items() if one.left_out},
        leakage=leakage,
        digest=drawn.digest,
        files={name: file_digest(out / name) for name in names},
    )
    told = {"mix": mix.model_dump(mode="json"), **built.model_dump(mode="json")}
    write_whole(out / REPORT, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return built
