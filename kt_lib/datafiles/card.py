"""The card of a dataset: what is in it, how it came to be, what it may be used for, with a head that the Hub reads.

Every text from the data stands in it as text: redacted, its marks without meaning, examples in fences that hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kt_lib.datafiles.examples import examples
from kt_lib.datafiles.lengths import Lengths, Ruler, lengths_of
from kt_lib.errors import MissingPackage
from kt_lib.leakage import LeakageReport
from kt_lib.markdown_text import plain, table
from kt_lib.mixing import FunnelStep, SourceLine
from kt_lib.records import PreferencePair, SftRow

if TYPE_CHECKING:
    from huggingface_hub import DatasetCardData

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST = "1M<n<10M"
_HUB_LICENCES = frozenset(
    "mit apache-2.0 bsd-2-clause bsd-3-clause cc0-1.0 cc-by-2.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0"
    " cc-by-nc-4.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-nc-nd-4.0 gpl-3.0 lgpl-3.0 agpl-3.0 mpl-2.0 odbl odc-by pddl isc"
    " unlicense wtfpl cdla-permissive-2.0 cdla-sharing-1.0".split()
)
_MOST_LEAKS = 20
_MOST_LINES = 30
_CONSENT = {True: "they agreed", False: "they did not agree", None: "nobody says"}


def dataset_card(
    rows: Sequence[SftRow],
    pairs: Sequence[PreferencePair],
    *,
    leakage: LeakageReport,
    funnel: Sequence[FunnelStep],
    sources: Sequence[SourceLine],
    ruler: Ruler,
    content_hash: str,
    name: str,
    pairs_funnel: Sequence[FunnelStep] = (),
) -> str:
    """The card in Markdown; its head parses as `huggingface_hub.DatasetCard(text).data`.

    `funnel` is that of the rows, `pairs_funnel` that of the preference pairs.

    MissingPackage without huggingface_hub, which comes with the `train` extra.
    """
    parts = [
        ("", _what(rows, pairs, content_hash)),
        ("What is in it", _contents(rows, pairs)),
        ("How it was made", _funnels(funnel, pairs_funnel)),
        ("The mix", _mix(sources)),
        ("Licences and consent", _terms(rows, pairs)),
        ("Lengths", _lengths(lengths_of(rows, pairs, ruler))),
        ("Held against the evaluation", _leakage(leakage)),
        ("Examples", examples(rows, pairs)),
        ("Loading it", _loading(pairs)),
    ]
    body = [f"## {title}\n\n{text}" if title else text for title, text in parts if text]
    return "\n".join(
        ["---", _head(rows, pairs, name).to_yaml(), "---", "", f"# {plain(name)}", "", "\n\n".join(body), ""]
    )


def _head(rows: Sequence[SftRow], pairs: Sequence[PreferencePair], name: str) -> DatasetCardData:
    try:
        from huggingface_hub import DatasetCardData
    except ImportError as error:
        raise MissingPackage("a dataset card needs huggingface_hub: pip install -e '.[train]'") from error
    size = len(rows) + len(pairs)
    configs: list[dict[str, object]] = [{"config_name": "rows", "data_files": "rows.parquet", "default": True}]
    if pairs:
        configs.append({"config_name": "pairs", "data_files": "pairs.parquet"})
    tags = ["kt", "tool-calling", *(["sft"] if rows else []), *(["dpo", "preference"] if pairs else [])]
    return DatasetCardData(
        pretty_name=name,
        license=_hub_licences([*rows, *pairs]),
        task_categories=["text-generation"],
        size_categories=[next((word for most, word in _SIZES if size < most), _LARGEST)],
        tags=tags,
        configs=configs,
    )


def _hub_licences(rows: Iterable[SftRow | PreferencePair]) -> list[str]:
    """The licences by the names the Hub knows; `other` for another, `unknown` where none is stated."""
    found = {"unknown" if row.licence is None else row.licence.lower() for row in rows}
    return sorted({one if one in _HUB_LICENCES or one == "unknown" else "other" for one in found}) or ["unknown"]


# --- its parts -------------------------------------------------------------------------------------------------------


def _what(rows: Sequence[SftRow], pairs: Sequence[PreferencePair], content_hash: str) -> str:
    turns = sum(sum(message.role == "user" for message in row.messages) > 1 for row in rows)
    tools = sum(bool(row.tools) for row in rows)
    digest = re.sub(r"[^\w:.-]", "", content_hash)
    return (
        f"{len(rows):,} conversations to learn answers from ({turns:,} of them with several turns, {tools:,} that offer"
        f" tools natively; others name them in the prompt) and {len(pairs):,} preference pairs, for a model that shall"
        " act through tools.\n\n"
        f"Content hash: `{digest}`. The same rows in the same order have the same hash."
    )


def _contents(rows: Sequence[SftRow], pairs: Sequence[PreferencePair]) -> str:
    kinds = table(("kind of row", "rows", "share"), _counted(Counter(row.kind for row in rows)))
    basis = table(("what a pair puts right", "pairs", "share"), _counted(Counter(pair.basis for pair in pairs)))
    # After a semicolon an evidence says which file and row it is of.
    says = Counter(pair.evidence.partition(";")[0] for pair in pairs)
    evidence = table(("who says so", "pairs", "share"), _counted(says))
    learned = Counter("every answer" if row.learn == "all" else "the last answer" for row in rows)
    said = ", ".join(f"{what} in {count:,} rows" for what, count in learned.most_common())
    return "\n\n".join(part for part in (kinds, f"Learned is {said}." if said else "", basis, evidence) if part)


def _counted(counts: Counter[str]) -> list[tuple[str, str, str]]:
    """What there is most of, and the rest in one line."""
    total, told = counts.total(), counts.most_common(_MOST_LINES)
    lines = [(plain(what), f"{count:,}", _share(count, total)) for what, count in told]
    rest = total - sum(count for _, count in told)
    others = f"{len(counts) - len(told):,} others"
    return [*lines, *([(others, f"{rest:,}", _share(rest, total))] if rest else [])]


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.1f}%" if of else "0%"


def _funnels(rows: Sequence[FunnelStep], pairs: Sequence[FunnelStep]) -> str:
    return "\n\n".join(filter(None, (_funnel(rows, "rows after it"), _funnel(pairs, "pairs after it"))))


def _funnel(funnel: Sequence[FunnelStep], counted: str) -> str:
    def why(step: FunnelStep) -> str:
        return "; ".join(f"{count:,} {plain(reason)}" for reason, count in step.left_out.items())

    return table(("step", counted, "left out"), [(plain(one.step), f"{one.rows:,}", why(one)) for one in funnel])


def _mix(sources: Sequence[SourceLine]) -> str:
    lines = [
        (plain(one.name), f"{one.asked:,}", f"{one.available:,}", f"{one.used:,}", f"{one.repeated:,}", plain(one.note))
        for one in sources
    ]
    return table(("source", "asked", "available", "used", "of them repeated", "note"), lines)


def _terms(rows: Sequence[SftRow], pairs: Sequence[PreferencePair]) -> str:
    every: list[SftRow | PreferencePair] = [*rows, *pairs]
    licences = Counter(row.licence or "unknown: none is stated" for row in every)
    agreed = Counter(_CONSENT[row.consent] for row in every)
    return "\n\n".join(
        (
            table(("licence of what it was made of", "rows and pairs", "share"), _counted(licences)),
            table(("whether the people in it agreed to training", "rows and pairs", "share"), _counted(agreed)),
        )
    ).strip()


def _lengths(lengths: Lengths) -> str:
    most = lengths.max_length
    fits = f"The model reads {most:,} tokens." if most else "How much a model reads is not known here."
    lines = [
        (one.what, f"{one.n:,}", f"{one.low:,}", f"{one.middle:,}", f"{one.high:,}", f"{one.longest:,}",
         f"{one.over:,} ({_share(one.over, one.n)})" if most else "")
        for one in lengths.lines
    ]  # fmt: skip
    told = table(("in tokens", "n", "5%", "50%", "95%", "longest", "longer than it reads"), lines)
    return f"Measured by {plain(lengths.measured_by)}; a pair counts with its longer side. {fits}\n\n{told}"


def _leakage(leakage: LeakageReport) -> str:
    found = table(
        ("evaluation task", "how", "where", "what"),
        [(plain(one.task_id), one.kind, plain(one.row), plain(one.detail, 100)) for one in leakage.leaks[:_MOST_LEAKS]],
    )
    more = len(leakage.leaks) - _MOST_LEAKS
    return (
        f"{len(leakage.leaks):,} leak(s) of {leakage.evaluation_tasks:,} evaluation tasks ({leakage.entities:,} made-up"
        f" names) into {leakage.training_texts:,} training texts. A name counts as a whole word, a request where it was"
        " learned as it is or with other names and numbers, and as a near-duplicate from a similarity of"
        f" {leakage.threshold:g} on (Jaccard over three-word shingles of what the user said, from the beginning on or"
        " in up to three messages that follow one another), or one of eight words or more that stands within any longer"
        f" text ({leakage.threshold:g} of its runs of three words)."
    ) + (f"\n\n{found}" if found else "") + (f"\n\n{more:,} more." if more > 0 else "")  # fmt: skip


def _loading(pairs: Sequence[PreferencePair]) -> str:
    lines = ["from datasets import load_dataset", "", 'rows = load_dataset(".", "rows", split="train")']
    if pairs:
        lines.append('pairs = load_dataset(".", "pairs", split="train")')
    code = "\n".join(lines)
    return (
        f"In this folder:\n\n```python\n{code}\n```\n\nThe columns are TRL's: `messages` and `tools` (JSON text) for"
        " `SFTTrainer`, `prompt`, `chosen`, `rejected` and `tools` for `DPOTrainer`. `kt` says of each row, as JSON"
        " text, where it came from and under which terms."
    )
