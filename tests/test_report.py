"""The report: figures that agree with the records, a page that is whole, and texts that stay texts."""

from __future__ import annotations

import itertools
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from page_checks import ATTACKS, EVERYTHING, Seen, loads
from report_records import attempt, run_of, task

from kt_lib.artifacts import write_rows, write_text
from kt_lib.audience import IN_WORDS, for_audience
from kt_lib.difference import pair
from kt_lib.history import Context, Input, RunRecord, StepInRun, StepRecord
from kt_lib.notebook import read_notebook
from kt_lib.pages import policy, sorting
from kt_lib.records import Attempt, ModelVersion, Provenance, Record, Score, Task, Verdict
from kt_lib.report import report_json, report_text
from kt_lib.report_cases import CELLS, cases, cell_cases
from kt_lib.report_data import ARTIFACTS, After, ReportData, gather
from kt_lib.report_goals import Measured, goals, relative_reduction
from kt_lib.report_index import write_index
from kt_lib.report_markdown import report_markdown
from kt_lib.report_page import points, published, report_html
from kt_lib.runs import Step
from kt_lib.statistics import paired_counts, wilson

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "14_report.ipynb"
RATES = (
    "chat_success",
    "agent_success_before",
    "agent_success_after",
    "malformed_before",
    "malformed_after",
    "chat_success_after",
)
GAPS = ("gap_before", "gap_after")
KEYS = (*RATES, *GAPS, "guards", "paired", "levers", "versions", "steps", "seconds", "cpu_seconds", "failures", "goals")


@pytest.fixture(scope="module")
def data() -> ReportData:
    return run_of()


@pytest.fixture(scope="module")
def said(data: ReportData) -> dict[str, Any]:
    return report_json(data)


@pytest.fixture(scope="module")
def page(data: ReportData) -> str:
    return report_html(data)


# --- figures ---------------------------------------------------------------------------------------------------------


def test_every_promised_key_is_there_each_rate_with_interval_and_n(said: dict[str, Any]) -> None:
    assert [key for key in KEYS if key not in said] == []
    for name in (*RATES, *GAPS):
        one = said[name]
        assert one["low"] <= one["value"] <= one["high"], name
        assert one["n"] == 120


def test_the_rates_are_those_of_the_records(data: ReportData, said: dict[str, Any]) -> None:
    right = sum(one.agent.outcome == "correct" for one in data.before)
    assert said["agent_success_before"]["value"] == pytest.approx(right / 120)
    assert said["agent_success_before"] == wilson(right, 120).model_dump()
    malformed = sum(one.agent.outcome == "malformed" for one in data.before)
    assert said["malformed_before"]["value"] == pytest.approx(malformed / 120)


def test_the_gap_is_chat_minus_agent_on_the_same_tasks(said: dict[str, Any]) -> None:
    before = said["paired"]["before"]
    assert sum(before.values()) == 120
    assert said["gap_before"]["value"] == pytest.approx((before["chat_only"] - before["agent_only"]) / 120)
    assert said["gap_before"]["value"] > said["gap_after"]["value"]
    difference = said["chat_success"]["value"] - said["agent_success_before"]["value"]
    assert said["gap_before"]["value"] == pytest.approx(difference)


def test_the_gap_after_holds_the_agent_against_the_chat_of_before() -> None:
    tasks = tuple(task(number) for number in range(4))
    before = pair(
        [attempt(n, "chat", True, "none", "x") for n in range(4)], [wrong(n, "agent", "none") for n in range(4)]
    )
    after = After(
        status="promoted",
        variant="sft",
        agent=tuple(attempt(n, "agent", n < 2, "sft", "wrong_key") for n in range(4)),
        chat=tuple(wrong(n, "chat", "sft") for n in range(4)),
    )
    said = report_json(ReportData(title="t", tasks=tasks, before=tuple(before), after=after))
    assert said["gap_after"]["value"] == pytest.approx(0.5)
    assert said["chat_success_after"]["value"] == 0.0


def wrong(number: int, mode: str, lever: str) -> Any:
    return attempt(number, mode, False, lever, "wrong_key")


def test_seconds_stand_for_each_step_in_both_forms(said: dict[str, Any]) -> None:
    assert said["steps"]["08_train"]["seconds"] == 12.5
    assert said["cpu_seconds"] == {name: step["cpu_seconds"] for name, step in said["steps"].items()}


def test_the_json_text_is_strict_json_and_the_same_each_time(data: ReportData) -> None:
    text = report_text(data)
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["title"]
    assert text == report_text(data)


def test_a_candidate_that_was_not_promoted_is_no_after() -> None:
    said = report_json(run_of(status="candidate"))
    assert [said[name] for name in ("agent_success_after", "malformed_after", "chat_success_after", "gap_after")] == [
        None
    ] * 4
    assert said["paired"]["after"] is None
    assert said["candidate"]["agent_success"]["n"] == 120
    assert said["after"]["status"] == "candidate"
    html = report_html(run_of(status="candidate"))
    assert "Candidate, not promoted" in html
    assert "Agent after" not in html


def test_without_training_the_report_says_why_and_shows_the_levers() -> None:
    data = run_of(status="absent").model_copy(update={"after": After(reason="no local weights")})
    said = report_json(data)
    assert said["agent_success_after"] is None
    assert said["candidate"] is None
    assert said["after"]["reason"] == "no local weights"
    text = Seen(report_html(data)).text
    assert "no local weights" in text
    assert "constrained" in text


def test_a_report_of_nothing_at_all_is_still_a_page() -> None:
    said = report_json(ReportData(title="Empty"))
    assert said["chat_success"]["value"] is None
    assert said["gap_before"]["value"] is None
    assert "Nothing can be said yet" in said["verdict"]
    assert loads(Seen(report_html(ReportData(title="Empty")))) == []


def test_tasks_without_evidence_are_counted_and_in_no_rate() -> None:
    said = report_json(run_of(count=30, evidence="none", status="absent"))
    assert said["not_counted"] == {"unverified": 30, "incomplete": 0}
    assert said["chat_success"]["n"] == 0
    assert "30 tasks have no independent evidence" in said["verdict"]


def test_goals_are_judged_by_intervals_and_the_unmeasured_say_so(said: dict[str, Any]) -> None:
    states = {(one["figure"], one["target"]): one["state"] for one in said["goals"]}
    assert states[("agent success on held-out tasks", "80%")] == "reached"
    assert states[("user satisfaction", "rising")] == "not measured yet"
    assert states[("malformed output", "5%, upper bound 8% on at least 320 tasks")] == "not yet decidable at this n"


@pytest.mark.parametrize(
    ("right", "n", "state"),
    [(95, 100, "not yet decidable at this n"), (40, 100, "not reached"), (290, 300, "reached")],
)
def test_the_goal_of_ninety_percent_needs_its_lower_bound_and_its_tasks(right: int, n: int, state: str) -> None:
    found = {one.figure: one.state for one in goals(Measured(calls=wilson(right, n)))}
    assert found["tool-call accuracy (name and arguments)"] == state


def test_the_reduction_of_failures_has_an_interval_around_it() -> None:
    value, low, high = relative_reduction(paired_counts(50, 2, 40, 8)) or (0, 0, 0)
    assert value == pytest.approx(1 - 10 / 48)
    assert low < value < high
    assert relative_reduction(paired_counts(10, 0, 0, 0)) is None


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_runs_nothing_but_its_sorting_loads_nothing_and_is_small(page: str) -> None:
    assert page.count(f"<script>{sorting()}</script>") == 1
    seen = Seen(page.replace(f"<script>{sorting()}</script>", ""))
    assert loads(seen) == []
    assert not any(tag == "script" for tag, _ in seen.elements)
    allowed = next(attrs["content"] for tag, attrs in seen.elements if attrs.get("http-equiv"))
    assert allowed == policy(sorting())
    assert "default-src 'none'" in allowed
    assert "unsafe-inline" not in allowed.split("style-src")[0]
    assert not re.search(r"url\(|@import|https?://", page)
    assert len(page.encode()) < 1_000_000


def test_the_page_has_landmarks_one_main_heading_captions_and_no_skipped_level(page: str) -> None:
    seen = Seen(page)
    tags = [tag for tag, _ in seen.elements]
    assert {"header", "main", "nav", "footer", "section"} <= set(tags)
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(later - sooner <= 1 for sooner, later in itertools.pairwise(levels))
    assert tags.count("caption") == tags.count("table")
    assert all(attrs.get("aria-label") for tag, attrs in seen.elements if attrs.get("role") == "img")
    assert (seen.open, seen.unbalanced) == ([], [])


def test_every_link_within_the_page_leads_somewhere(page: str) -> None:
    seen = Seen(page)
    ids = {attrs["id"] for _, attrs in seen.elements if "id" in attrs}
    inner = {attrs["href"][1:] for tag, attrs in seen.elements if tag == "a" and attrs["href"].startswith("#")}
    assert inner <= ids
    contents = page[page.index('<nav class="toc"') : page.index("</nav>")]
    places = re.findall('href="(#[^"]+)"', contents)
    assert len(places) == len(set(places))
    assert {attrs["aria-labelledby"] for _, attrs in seen.elements if "aria-labelledby" in attrs} <= ids


def test_the_page_shows_the_figures_of_the_json(page: str, said: dict[str, Any]) -> None:
    text = Seen(page).text
    for name in RATES[:3]:
        assert f"{100 * said[name]['value']:.1f}" in text, name
    assert said["verdict"] in text
    assert points(said["gap_before"]["value"]) in text


def test_one_case_stands_for_each_failure_class_the_frequent_first(data: ReportData) -> None:
    found = cases(data)
    counts = [one.count for one in found]
    assert counts == sorted(counts, reverse=True)
    assert len({one.failure for one in found}) == len(found)
    assert [side.kind for side in found[0].sides] == ["chat", "before", "after"]
    assert found[0].sides[0].outcome == "correct"
    assert found[0].sides[2].outcome == "correct"


def test_every_cell_of_the_matrix_leads_to_cases_that_are_of_that_cell(data: ReportData, page: str) -> None:
    found = {one.name: one for one in cell_cases(data)}
    four = report_json(data)["paired"]
    for word in ("before", "after"):
        assert {cell: found[f"{word}-{cell}"].count for cell in CELLS if four[word][cell]} == {
            cell: count for cell, count in four[word].items() if count
        }
    chat, agent, *_ = found["before-chat_only"].cases[0].sides
    assert (chat.outcome == "correct", agent.outcome == "correct") == (True, False)
    assert 'href="#before-chat_only"' in page
    assert all(len(one.cases) <= 5 for one in found.values())


def own(number: int) -> Task:
    """A task from a person's chat, with a word of theirs in everything."""
    told = task(number, f"SECRETWORD{number}")
    where = Provenance(file="SECRETFILE.json", sha256="0", format="openwebui.export", place="item 1")
    mine = {"tags": ("own chat",), "source": where, "category": f"SECRETWORD{number}", "role": "SECRETROLE"}
    return told.model_copy(update=mine)


@pytest.fixture(scope="module")
def of_a_person(data: ReportData) -> ReportData:
    """A report in which every other task is of a person's chat, and a step was told a path."""
    own_ones = {one.id: own(int(one.id[1:])) for one in data.tasks[::2]}

    def said(one: Attempt) -> Attempt:
        update = {"output": f"SECRETWORD {'long ' * 400}", "detail": "SECRETWORD"}
        return one.model_copy(update=update) if one.task_id in own_ones else one

    told = StepRecord(
        notebook="01_ingest",
        run="r",
        status="finished",
        key="",
        fingerprint=None,
        parameters={"source": ["/home/SECRETFILE"], "seed": 1},
    )
    before = tuple(one.model_copy(update={"chat": said(one.chat), "agent": said(one.agent)}) for one in data.before)
    after = data.after.model_copy(
        update={"agent": tuple(map(said, data.after.agent)), "chat": tuple(map(said, data.after.chat))}
    )
    tasks = tuple(own_ones.get(one.id, one) for one in data.tasks)
    return data.model_copy(update={"tasks": tasks, "before": before, "after": after, "steps": (told, *data.steps)})


@pytest.mark.parametrize("write", [report_html, report_text, report_markdown])
def test_a_public_report_holds_no_word_of_a_person_and_names_no_file(of_a_person: ReportData, write: Any) -> None:
    public = write(for_audience(of_a_person, "public"))
    assert "SECRET" not in public
    assert "SECRET" in report_html(for_audience(of_a_person, "team"))


def test_the_audience_changes_the_words_and_not_the_figures(of_a_person: ReportData) -> None:
    public, private = (report_json(for_audience(of_a_person, who)) for who in ("public", "private"))
    for name in (*RATES, "gap_before", "gap_after", "paired", "failures", "goals", "by_novelty"):
        assert public[name] == private[name], name


def test_a_team_reads_excerpts_and_oneself_the_whole(of_a_person: ReportData) -> None:
    team, private = (report_html(for_audience(of_a_person, who)) for who in ("team", "private"))
    assert "more characters)" in team
    assert team.count("long ") < private.count("long ")
    for who, page in (("team", team), ("private", private)):
        assert IN_WORDS[who] in Seen(page).text


@pytest.mark.parametrize("attack", [*ATTACKS, EVERYTHING], ids=range(len(ATTACKS) + 1))
def test_in_markdown_no_text_from_data_is_a_mark(attack: str) -> None:
    hostile, plain = (report_markdown(run_of(24, said)) for said in (attack, "harmless"))
    assert hostile.count("\n") == plain.count("\n"), "a line stays a line, a row a row"
    bare = re.sub(r"\\.", "", hostile)
    assert not re.search(r"<[A-Za-z/!?]|\]\(|!\[|://|`", bare)
    assert "\x1b" not in hostile


def test_the_markdown_says_the_figures_of_the_json(data: ReportData, said: dict[str, Any]) -> None:
    text = report_markdown(data)
    for name in RATES[:3]:
        assert f"{100 * said[name]['value']:.1f}%" in text, name
    assert f"{said['paired']['before']['chat_only']}" in text


def released(number: str, variant: str, agent: int, chat: int) -> ModelVersion:
    """A version with its rates in 100, beside the base's of the same run."""
    sides = {("base", "agent"): 40, ("base", "chat"): 97, (variant, "agent"): agent, (variant, "chat"): chat}
    scores = [
        Score.model_validate(
            {"variant": name, "mode": mode, "suite": "main", "metric": "success", "rate": wilson(count, 100)}
        )
        for (name, mode), count in sides.items()
    ]
    constrained = scores[0].model_copy(update={"variant": "constrained", "rate": wilson(99, 100)})
    lineage = dict.fromkeys(("base", "adapter", "digest", "run", "data"), "x")
    return ModelVersion(version=number, scores=(constrained, *scores), promoted=agent > 80, **lineage)


def test_the_gap_of_every_version_stands_below_the_bases(data: ReportData) -> None:
    both = (released("1.0.0", "sft", 70, 96), released("1.1.0", "sft+dpo", 95, 97))
    told = data.model_copy(update={"history": both})
    rows = report_json(told)["history"]
    assert [(row["version"], round(row["gap"], 2)) for row in rows] == [
        ("base", 0.57),
        ("1.0.0", 0.26),
        ("1.1.0", 0.02),
    ]
    assert all(row["agent"]["n"] == 100 and row["agent"]["low"] < row["agent"]["value"] for row in rows)
    text = Seen(report_html(told)).text
    assert "Gap over versions" in text
    assert "stopped" in text


def test_what_is_secret_or_unseen_in_a_chat_is_told_apart_and_taken_out() -> None:
    html = report_html(run_of(20, "mail bob@example.com, password=hunter2secret \u202eevil\u202c"))
    assert "bob@example.com" not in html
    assert "hunter2secret" not in html
    assert "\u202e" not in html
    assert "[U+202E]evil" in html


@pytest.mark.parametrize("attack", [*ATTACKS, EVERYTHING], ids=range(len(ATTACKS) + 1))
def test_no_text_from_data_becomes_an_element_an_attribute_or_a_request(attack: str) -> None:
    attacked, plain = (run_of(24, said) for said in (attack, "harmless"))
    page = report_html(attacked)
    seen, same = Seen(page), Seen(report_html(plain))
    assert seen.shape == same.shape
    assert loads(Seen(page.replace(sorting(), ""))) == []
    assert (seen.open, seen.unbalanced) == ([], [])
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", page)
    links = [attrs["href"] for tag, attrs in seen.elements if tag == "a"]
    assert all(link.startswith(("#", "../../../runs/", "../../../index.html")) for link in links)
    json.loads(report_text(attacked))


def test_a_text_cannot_pass_for_a_link_when_the_report_moves_up() -> None:
    html = report_html(run_of(24, 'href="../../../x'))
    moved = published(html.encode()).decode()
    assert 'href="runs/r/08_train/page.html"' in moved
    assert Seen(moved).text == Seen(html).text


def test_the_report_draws_within_two_seconds(data: ReportData) -> None:
    report_html(data)
    started = time.perf_counter()
    report_html(run_of(660))
    assert time.perf_counter() - started < 2


# --- what was learned ------------------------------------------------------------------------------------------------


def test_the_mix_and_what_each_training_gained_and_lost_stand_in_all_three_forms() -> None:
    run = run_of()
    told = report_json(run)
    assert told["dataset"]["mix"][0]["used"] == 200
    suites = [row["suite"] for row in told["ablation"]]
    assert suites == ["target", "plain_chat", "not_calling", "multi_turn"]
    assert [one["variant"] for one in told["ablation"][0]["trainings"]] == ["sft", "alone"]
    assert told["assistant"][0]["word"] == "win"
    assert told["assistant"][0]["value"] == pytest.approx(68 / 320)
    page, markdown = report_html(run), report_markdown(run)
    for title in ("What each training gained and lost", "The mix"):
        assert title in page, title
        assert title in markdown, title
    assert "The assistant in figures" in page
    assert told["assistant"][0]["reason"] in page
    public = report_json(for_audience(run_of(said="hush"), "public"))["dataset"]
    assert [one["name"] for one in public["mix"]] == ["another source"], "somebody called it as they liked"
    assert all(not one["left_out"] for one in public["funnel"])


def judged(suite: str, cells: tuple[int, int, int, int], *, passed: bool, word: str, **more: Any) -> Verdict:
    """A verdict on a table of four cells: both, base only, candidate only, neither."""
    known = {"variant": "sft", "margin": 0.05, "discordance": 0.1, "power": 0.27, "needed": 1433, "reason": "r"}
    return Verdict.model_validate(
        known | {"suite": suite, "table": paired_counts(*cells), "passed": passed, "verdict": word} | more
    )


GAINED = judged("target", (254, 8, 300, 98), passed=True, word="better")
WITHIN = judged("plain_chat", (628, 13, 4, 15), passed=True, word="not_worse", power=0.99)
WON = judged("not_calling", (20, 8, 121, 11), passed=True, word="better")
OPEN = judged("multi_turn", (141, 5, 1, 3), passed=False, word="inconclusive", power=0.68, needed=179)


def test_a_guard_that_passed_by_less_than_its_margin_is_no_denial_of_the_loss(data: ReportData) -> None:
    told = data.model_copy(update={"verdicts": (GAINED, WITHIN), "ablation": (WITHIN,)})
    said = report_json(told)
    assert said["guards"][0]["words"] == "worse by less than the margin"
    assert said["ablation"][0]["trainings"][0]["words"] == "worse by less than the margin"
    assert "worse by less than the margin, passed" in report_markdown(told)
    assert "worse by less than the margin" in Seen(report_html(told)).text


def test_only_an_undecided_guard_is_told_how_many_tasks_it_lacks(data: ReportData) -> None:
    text = Seen(report_html(data.model_copy(update={"verdicts": (GAINED, WON, OPEN)}))).text
    assert "80% power needs 179 tasks" in text
    assert "1433" not in text


def test_which_guard_each_training_broke_stands_below_what_it_gained(data: ReportData) -> None:
    other = [one.model_copy(update={"variant": "sft:corrections"}) for one in (GAINED, WITHIN, OPEN)]
    told = data.model_copy(update={"ablation": (GAINED, WITHIN, WON, *other)})
    gate = {one["variant"]: one["refusal"] for one in report_json(told)["gate"]}
    assert gate["sft"] is None
    assert gate["sft:corrections"].startswith("guard multi_turn inconclusive: -2.7 points")
    text = Seen(report_html(told)).text
    assert "sft: the gate lets it through." in text
    assert "sft:corrections: the gate stops it: guard multi_turn inconclusive" in text
    assert "guard multi\\_turn inconclusive" in report_markdown(told)


def test_a_version_that_saw_no_pairs_shows_rows_only_and_no_setting_without_a_value(data: ReportData) -> None:
    chosen = {"recipe": "embedded", "recipe_file": "", "sft": {}, "dpo": {"beta": 0.1}, "ablations": [], "seed": 0}
    steps = [one.model_copy(update={"parameters": chosen}) if one.notebook == "08_train" else one for one in data.steps]
    trained = data.model_copy(update={"steps": tuple(steps)})
    assert report_json(trained)["lineage"] == {
        "rows": 300,
        "pairs": 0,
        "configuration": {"recipe": "embedded", "dpo": {"beta": 0.1}, "seed": 0},
    }
    after = data.after.model_copy(update={"variant": "sft+dpo"})
    both = trained.model_copy(update={"after": after})
    assert report_json(both)["lineage"]["pairs"] == 50
    only, with_pairs = (lineage_of(report_html(one)) for one in (trained, both))
    assert "300 rowssha256:cccc" in only
    assert "300 rows, 50 pairssha256:cccc" in with_pairs
    assert 'recipe embedded, dpo {"beta": 0.1}, seed 0' in only


def lineage_of(page: str) -> str:
    """What a reader sees of the lineage, on one line."""
    within = page[page.index('<section id="lineage"') :]
    return " ".join(Seen(within[: within.index("</section>") + 10]).text.split())


# --- gathering -------------------------------------------------------------------------------------------------------


def written(folder: Path, run: ReportData) -> dict[str, Input]:
    """The artifacts a run's steps leave behind."""
    attempts = [one for pair_ in run.before for one in (pair_.chat, pair_.agent)]
    rows: dict[str, list[Record]] = {
        "tasks": list(run.tasks),
        "attempts": list(attempts),
        "improvements": list(run.improvements),
        "adapters": list(run.adapters),
        "attempts_after": [*run.after.agent, *run.after.chat],
        "scores": list(run.scores),
        "verdicts": list(run.verdicts),
        "ablation_verdicts": list(run.ablation),
        "comparisons": list(run.comparisons),
        "mix": list(run.mix),
        "funnel": list(run.funnel),
        "versions": list(run.versions),
    }
    made = {name: write_rows(folder, name, records) for name, records in rows.items()}
    return {
        name: Input(path=str(folder / one.file), artifact=one, notebook="x") for name, one in made.items() if one.rows
    }


def step_over(folder: Path, inputs: dict[str, Input], steps: tuple[StepRecord, ...]) -> Step[Any]:
    context = Context(
        root=str(folder),
        state=str(folder),
        run_id="r",
        notebook="14_report",
        folder=str(folder),
        inputs=inputs,
        steps=steps,
    )
    return Step(context, SimpleNamespace(title="T"))  # type: ignore[arg-type]


def test_gathering_brings_back_what_the_steps_wrote_the_variant_known_by_its_adapter(
    tmp_path: Path, data: ReportData
) -> None:
    gathered = gather(step_over(tmp_path, written(tmp_path, data), data.steps))
    assert gathered.before == data.before
    assert gathered.after.agent == data.after.agent
    assert (gathered.after.status, gathered.after.variant) == ("promoted", "sft")
    assert report_json(gathered)["gap_after"] == report_json(data)["gap_after"]


def test_gathering_from_a_run_that_could_not_train_keeps_the_reason(tmp_path: Path) -> None:
    data = run_of(status="absent")
    skipped = data.steps[-2].model_copy(update={"status": "skipped", "reason": "no local weights"})
    gathered = gather(step_over(tmp_path, written(tmp_path, data), (*data.steps[:4], skipped)))
    assert (gathered.after.status, gathered.after.reason) == ("absent", "no local weights")
    assert report_json(gathered)["agent_success_after"] is None


def test_a_version_that_the_run_was_told_not_to_promote_is_a_candidate(tmp_path: Path, data: ReportData) -> None:
    release = data.steps[-1].model_copy(update={"metrics": {"champion": None}})
    gathered = gather(step_over(tmp_path, written(tmp_path, data), (*data.steps[:-1], release)))
    assert gathered.after.status == "candidate"
    assert "told not to promote" in gathered.after.reason


def test_where_no_version_was_made_the_report_says_what_the_gate_says_of_the_candidate(
    tmp_path: Path, data: ReportData
) -> None:
    evaluated = [
        one.model_copy(update={"metrics": {"candidate": "sft"}}) if one.notebook == "09_evaluate" else one
        for one in data.steps
        if one.notebook != "10_release"
    ]

    def reason(*verdicts: Verdict) -> str:
        run = data.model_copy(update={"versions": (), "verdicts": verdicts})
        folder = tmp_path / str(len(verdicts))
        folder.mkdir()
        return gather(step_over(folder, written(folder, run), tuple(evaluated))).after.reason

    stopped = reason(GAINED, WITHIN, OPEN)
    assert stopped.startswith("no version was made of it, and the gate stops it: guard multi_turn inconclusive")
    assert reason(GAINED, WITHIN) == "no version was made of it"


def test_the_notebook_asks_for_every_artifact_that_is_gathered() -> None:
    notebook = read_notebook(NOTEBOOK)
    assert notebook.optional == frozenset(ARTIFACTS)
    assert notebook.writes >= {"report.html", "report.json"}


# --- the list of runs ------------------------------------------------------------------------------------------------


def a_run(outputs: Path, said: str = "") -> RunRecord:
    folder = outputs / "runs" / "20260101-000000-000" / "14_report"
    folder.mkdir(parents=True)
    write_text(folder, "report.html", "<h1>x</h1>")
    write_text(folder, "report.json", json.dumps({"verdict": f"good {said}", "chat_success": {"value": 0.9}}))
    (folder / "page.html").write_text("page")
    run = RunRecord(
        id="20260101-000000-000",
        name=f"name {said}",
        runbook="runbook.yaml",
        overrides={"source": said},
        status="finished",
        steps=(StepInRun(notebook="14_report", status="finished", folder="20260101-000000-000/14_report", why=said),),
        created=1.79e9,
    )
    (folder.parent / "run.json").write_text(run.model_dump_json())
    return run


def test_the_index_lists_runs_with_verdict_and_links_that_exist(tmp_path: Path) -> None:
    a_run(tmp_path)
    seen = Seen(write_index(tmp_path).read_text())
    links = [attrs["href"] for tag, attrs in seen.elements if tag == "a"]
    assert links
    assert all((tmp_path / link).is_file() for link in links)
    assert "90.0%" in seen.text
    assert loads(seen) == []


@pytest.mark.parametrize("attack", [*ATTACKS, EVERYTHING], ids=range(len(ATTACKS) + 1))
def test_a_runs_words_stay_words_in_the_index(tmp_path: Path, attack: str) -> None:
    a_run(tmp_path / "a", attack)
    a_run(tmp_path / "b", "harmless")
    seen, same = (Seen(write_index(tmp_path / name).read_text()) for name in "ab")
    assert seen.shape == same.shape
    assert loads(seen) == []


def test_an_index_without_runs_says_how_to_make_one(tmp_path: Path) -> None:
    assert "kt run" in Seen(write_index(tmp_path).read_text()).text


def test_an_index_outlives_a_broken_report(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    (tmp_path / "runs" / run.id / "14_report" / "report.json").write_text("{")
    assert run.id in Seen(write_index(tmp_path).read_text()).text
