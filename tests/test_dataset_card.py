"""The card of a dataset: a head that the Hub reads, every figure from the rows, and no text that does anything."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from dataset_rows import HOST
from markdown_it import MarkdownIt

from kt_lib.datafiles.card import dataset_card
from kt_lib.datafiles.layouts import write_pairs, write_rows
from kt_lib.datafiles.lengths import Ruler, estimate, lengths_of, ruler_of
from kt_lib.leakage import Leak, LeakageReport
from kt_lib.mixing import FunnelStep, SourceLine
from kt_lib.models.embedded import packaged_base
from kt_lib.records import ChatMessage, PreferencePair, SftRow, ToolCall, ToolSpec

hub = pytest.importorskip("huggingface_hub")

TOOL = ToolSpec(name="uptime", parameters=HOST)


def row(question: str, kind: str = "agent_call", **said: Any) -> SftRow:
    call = ChatMessage(role="assistant", tool_calls=(ToolCall(name="uptime", arguments={"host": "web"}),))
    messages = (ChatMessage(role="user", content=question), call)
    return SftRow(messages=messages, tools=(TOOL,), kind=kind, task_id="t", basis="answer key", **said)


def pair(question: str, chosen: str = "yes") -> PreferencePair:
    asked = (ChatMessage(role="user", content=question),)
    fields = {"task_id": "t", "basis": "wrong_tool", "evidence": "answer key"}
    return PreferencePair(prompt=asked, chosen=chosen, rejected="no", **fields)


ROWS = [*(row(f"is host {at} up?", licence="MIT", consent=True) for at in range(7)), row("and you?", "chat_replay")]
PAIRS = [pair("what now?"), pair("and then?")]
LEAKAGE = LeakageReport(evaluation_tasks=100, training_texts=10, entities=40, threshold=0.8)
FUNNEL = [FunnelStep(step="read", rows=12), FunnelStep(step="good enough", rows=8, left_out={"too short": 4})]
SOURCES = [SourceLine(name="own", asked=10, available=8, used=8, repeated=0, note="2 short")]


def card(rows: list[SftRow] = ROWS, pairs: list[PreferencePair] = PAIRS, **changed: Any) -> str:
    said = {"leakage": LEAKAGE, "funnel": FUNNEL, "sources": SOURCES, "ruler": estimate(), "content_hash": "sha256:ab"}
    return dataset_card(rows, pairs, **{**said, "name": "what it learns", **changed})


def test_its_head_is_what_the_hub_reads() -> None:
    data = hub.DatasetCard(card()).data.to_dict()
    assert data["pretty_name"] == "what it learns"
    assert data["license"] == ["mit", "unknown"]
    assert data["size_categories"] == ["n<1K"]
    assert data["tags"] == ["kt", "tool-calling", "sft", "dpo", "preference"]
    assert [one["config_name"] for one in data["configs"]] == ["rows", "pairs"]


@pytest.mark.parametrize(("count", "words"), [(999, "n<1K"), (1000, "1K<n<10K"), (10_000, "10K<n<100K")])
def test_its_size_is_in_the_hubs_words(count: int, words: str) -> None:
    assert hub.DatasetCard(card(ROWS[:1] * count, [])).data.size_categories == [words]


@pytest.mark.parametrize("name", ["a: b", "---\nlicense: mit", "'\"", "[x]", "<b>x</b>", "ünï 👍"])
def test_no_name_breaks_its_head(name: str) -> None:
    assert hub.DatasetCard(card(name=name)).data.pretty_name == name


def test_every_figure_is_told() -> None:
    told = card()
    for words in (
        "8 conversations to learn answers from (0 of them with several turns, 8 that offer tools natively;",
        "Content hash: `sha256:ab`",
        r"| agent\_call | 7 | 87.5% |",
        r"| wrong\_tool | 2 | 100.0% |",
        "| read | 12 |  |",
        "| good enough | 8 | 4 too short |",
        "| own | 10 | 8 | 8 | 0 | 2 short |",
        "| MIT | 7 | 70.0% |",
        r"| unknown\: none is stated | 3 | 30.0% |",
        "| they agreed | 7 | 70.0% |",
        "| nobody says | 3 | 30.0% |",
        "0 leak(s) of 100 evaluation tasks (40 made-up names) into 10 training texts",
        "from a similarity of 0.8 on",
        "Measured by an estimate of 4 letters a token",
    ):
        assert words in told


def test_of_many_words_the_commonest_are_told_and_the_rest_counted() -> None:
    kinds = [row("x", f"kind{at}") for at in range(40)] + [row("x", "often")] * 5
    told = card(kinds, [])
    assert told.count("| kind") == 1 + 29
    assert "| often | 5 | 11.1% |" in told
    assert "| 11 others | 11 | 24.4% |" in told
    assert "Of 21 rarer kinds none is shown." in told


def test_evidence_is_counted_without_the_file_and_row_it_names() -> None:
    pairs = [pair("x").model_copy(update={"evidence": f"kept by the worker; file {at}"}) for at in range(3)]
    assert "| kept by the worker | 3 | 100.0% |" in card([], pairs)


def test_pairs_have_a_funnel_of_their_own() -> None:
    steps = [FunnelStep(step="given", rows=9), FunnelStep(step="each once", rows=2, left_out={"a copy of another": 7})]
    told = card(pairs_funnel=steps)
    rows, pairs = told.index("| step | rows after it | left out |"), told.index("| step | pairs after it | left out |")
    assert rows < told.index("| good enough | 8 | 4 too short |") < pairs < told.index("## The mix")
    assert pairs < told.index("| each once | 2 | 7 a copy of another |")
    assert "pairs after it" not in card()


def test_leaks_are_listed() -> None:
    leak = Leak(task_id="t9", kind="entity", row="sft row 3", detail="the name 'wolf'")
    told = card(leakage=LEAKAGE.model_copy(update={"leaks": (leak,)}))
    assert "1 leak(s) of 100" in told
    assert "| t9 | entity | sft row 3 | the name 'wolf' |" in told


def test_lengths_are_the_models_own(tmp_path: Path) -> None:
    def counted(rows: Any) -> list[Any]:
        from kt_lib.datafiles.lengths import Length

        return [Length(int(one.messages[0].content)) for one in rows]

    rows = [row(str(tokens)) for tokens in range(1, 101)]
    line = lengths_of(rows, [], Ruler("hand", 90, counted)).lines[0]
    assert (line.n, line.low, line.middle, line.high, line.longest, line.over) == (100, 5, 50, 95, 100, 10)
    ruler = ruler_of(packaged_base())
    assert "Measured by the tokenizer of embedded\\_base" in card(ruler=ruler)
    assert ruler.measure([row("a b c d")])[0].tokens > ruler.measure([row("a b")])[0].tokens > 10


def test_a_pair_is_as_long_as_its_longer_side() -> None:
    ruler = ruler_of(packaged_base())
    short, long = ruler.measure([pair("x", "no"), pair("x", "a much longer answer than the other one")])
    assert long.tokens > short.tokens


def test_three_examples_of_each_kind_are_shown_redacted() -> None:
    key = "sk-ant-api03-" + "a1B2c3" * 16
    told = card([row(f"look at {at} with {key}") for at in range(9)], [])
    assert [f"look at {at} " in told for at in range(9)] == [at in (0, 4, 8) for at in range(9)]
    assert key not in told
    assert told.count("<KEY_1>") == 3


def test_of_people_who_did_not_agree_no_example_is_shown() -> None:
    assert "my secret" not in card([row("my secret", consent=False)], [])


HOSTILE = [
    "<script>alert(1)</script>",
    "```\n# out\n<img src=x onerror=alert(1)>\n```",
    "````````\n<b>out</b>\n````````",
    "~~~\n<i>out</i>\n~~~",
    "| a | b |\n|---|---|\n[x](javascript:alert(1))",
    "\u2028</pre><script>1</script>\u202e",
    "---\nlicense: mit\n---",
]


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_chat_does_anything(text: str) -> None:
    rows = [row(text, kind=text, source=text, licence=text)]
    step, line = FunnelStep(step=text, rows=1, left_out={text: 1}), SOURCES[0].model_copy(update={"note": text})
    told = card(rows, [pair(text, text)], funnel=[step], sources=[line], name=text)
    page = Tags(MarkdownIt("commonmark", {"html": True}).enable("table").render(hub.DatasetCard(told).text))
    assert page.found == {"h1", "h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "pre", "code"}
    assert page.links == []
    assert hub.DatasetCard(told).data.pretty_name == text


def test_the_folder_loads_by_the_card(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    write_rows(tmp_path / "set" / "rows.parquet", ROWS)
    write_pairs(tmp_path / "set" / "pairs.parquet", PAIRS)
    (tmp_path / "set" / "README.md").write_text(card(), encoding="utf-8")
    loaded = datasets.load_dataset(str(tmp_path / "set"), "pairs", split="train", cache_dir=str(tmp_path / "cache"))
    assert [one["chosen"][0]["content"] for one in loaded] == ["yes", "yes"]
    loaded = datasets.load_dataset(str(tmp_path / "set"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded[0]["messages"][0] == {"role": "user", "content": "is host 0 up?"}
