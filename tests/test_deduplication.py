"""Copies among rows, near and exact, and rows near evaluation tasks: none is left, and nothing else is taken out."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kt_lib.deduplication import without_copies, without_near
from kt_lib.leakage import as_whole_word, measure_leakage, standing_in
from kt_lib.records import ChatMessage, Check, PreferencePair, SftRow, Task, ToolCall

REQUEST = "Show me the free disk space on the mail server and on every folder below it, largest first, please."
ABOUT: dict[str, Any] = {"kind": "conversation", "task_id": "c", "basis": "as recorded"}


def row(asked: str, answered: str = "Here it is.", source: str = "own", calls: Any = (), task: str = "c") -> SftRow:
    said = (
        ChatMessage(role="system", content="The same prompt for every row, with a long list of the tools."),
        ChatMessage(role="user", content=asked),
        ChatMessage(role="assistant", content=answered, tool_calls=calls),
    )
    return SftRow(messages=said, source=source, **(ABOUT | {"task_id": task}))


def pair(asked: str, chosen: str, rejected: str) -> PreferencePair:
    prompt = (ChatMessage(role="user", content=asked),)
    return PreferencePair(prompt=prompt, chosen=chosen, rejected=rejected, task_id="t", basis="b", evidence="e")


def task(asked: str, part: Any = "test", **more: Any) -> Task:
    check = Check(rule="never", evidence="answer_key")
    return Task(id=asked, messages=(ChatMessage(role="user", content=asked),), check=check, part=part, **more)


def test_of_copies_the_first_stays_and_it_is_said_of_which_source_it_is() -> None:
    rows = [row(REQUEST), row(REQUEST.upper(), source="toucan"), row(f"{REQUEST} Thanks.", source="glaive")]
    rows += [row("Who won the match?", source="glaive"), row(REQUEST, source="glaive")]
    kept, left_out = without_copies(rows, 0.8)
    assert kept == [rows[0], rows[3]]
    assert left_out == {"nearly a row of `own`": 2, "the same as a row of `own`": 1}


def test_one_request_with_different_answers_or_calls_is_no_copy() -> None:
    calls = [(ToolCall(name=name, arguments={"host": "mail"}),) for name in ("disk_usage", "restart")]
    rows = [row("Hi", calls=calls[0], answered=""), row("Hi", calls=calls[1], answered=""), row("Hi", "Good morning.")]
    assert without_copies(rows, 0.8) == (rows, {})


def test_a_long_request_does_not_make_two_answers_to_it_copies() -> None:
    rows = [row(f"{REQUEST} {REQUEST}", answered) for answered in ("It is web01.", "It is web02.", "It is  WEB02.")]
    assert without_copies(rows, 0.8) == (rows[:2], {"nearly a row of `own`": 1})
    earlier = (ChatMessage(role="user", content=REQUEST), ChatMessage(role="assistant", content="Which one?"))
    steps = [
        SftRow(messages=(*earlier, *row("The second.", said).messages[1:]), learn="last", **ABOUT)
        for said in ("Restarting it.", "It is full.")
    ]
    assert without_copies(steps, 0.5) == (steps, {})


def test_the_same_talk_with_its_calls_written_otherwise_is_a_copy_and_another_call_before_few_words_is_not() -> None:
    told = "The mail server has twelve gigabytes left, and the largest folder below it is the one with the old letters."

    def after(call: str, result: str, answer: str, source: str = "own") -> SftRow:
        whole = row(REQUEST, answer, source)
        between = (ChatMessage(role="assistant", content=call), ChatMessage(role="tool", content=result))
        return whole.model_copy(
            update={"messages": (*whole.messages[:-1], *between, whole.messages[-1]), "learn": "all"}
        )

    one = after('{"tool": "disk", "params": {"host": "mail", "below": true}}', '{"left": "12G"}', told)
    other = after(
        '{"tool": "disk", "params": {"key": "55ad6d", "host": "is(mail)"}}', '{"item": {"left": "12G"}}', told, "b"
    )
    assert without_copies([one, other], 0.95) == (
        [one], {"the same talk as a row of `own`, its calls written otherwise": 1}
    )  # fmt: skip
    answered = after('{"tool": "disk", "params": {"host": "mail"}}', "12", told.replace("twelve", "eleven"))
    short = [after(f'{{"tool": "{name}", "params": {{}}}}', name, "Done.") for name in ("disk_usage", "restart")]
    assert without_copies([one, answered, *short], 0.95) == ([one, answered, *short], {})


def test_a_mark_makes_another_command() -> None:
    find = "find /srv -type f -mtime -7 -size {}100M -name '*.log' -print"
    pairs = [pair("Find them", find.format("+"), find.format(mark)) for mark in ("-", "=", "")]
    assert without_copies(pairs, 0.9)[0] == pairs
    assert without_copies([*pairs, pairs[0]], 0.9) == (pairs, {"the same as a row of `own`": 1})


def test_pairs_are_compared_with_both_their_sides() -> None:
    pairs = [pair("Hi", "a", "b"), pair("Hi", "b", "a"), pair("hi!", "A", "B")]
    assert without_copies(pairs, 0.9) == (pairs[:2], {"nearly a row of `own`": 1})


def test_what_is_near_an_evaluation_task_is_taken_out_and_then_leakage_finds_none() -> None:
    tasks = [
        task(REQUEST),
        task("Restart web01 now", entities=("web01",), novelty="frame"),
        task("What is a cron job?", part="train"),
    ]
    rows = [
        row(f"Please: {REQUEST}"),
        row(REQUEST.lower()),
        row("Restart db7 now", task="learned"),
        row("Stop web01"),
        row("Stop web011"),
        row("How are you?", answered="", calls=(ToolCall(name="ping", arguments={"host": "web01"}),)),
        row("What is a cron job?"),
    ]
    learned = task("Restart db7 now", part="train", entities=("db7",)).model_copy(update={"id": "learned"})
    kept, left_out = without_near(rows, [*tasks, learned], 0.8)
    assert kept == [rows[4], rows[6]]
    assert left_out == {
        "asks what an evaluation task asks, or nearly": 2,
        "names what only evaluation tasks name": 2,
        "asks what an evaluation task asks with other names and numbers": 1,
    }
    assert measure_leakage([*tasks, learned], rows, [], [], 0.8).leaks
    assert measure_leakage([*tasks, learned], kept, [], [], 0.8).leaks == ()


def test_pairs_near_an_evaluation_task_are_taken_out_too() -> None:
    pairs = [pair(REQUEST, "a", "b"), pair("Another thing", "web01", "b"), pair("Another thing", "a", "b")]
    tasks = [task(REQUEST), task("Restart it", entities=("web01",))]
    kept, _ = without_near(pairs, tasks, 0.95)
    assert kept == pairs[2:]
    assert measure_leakage(tasks, [], kept, [], 0.95).leaks == ()


@given(
    st.sets(st.text(alphabet="ab1-é.", min_size=1, max_size=4), max_size=6),
    st.lists(st.text(alphabet="ab1-é. ", max_size=20), max_size=6),
)
def test_names_are_found_where_searching_every_text_for_every_name_finds_them(
    names: set[str], texts: list[str]
) -> None:
    slowly = {name: [at for at, text in enumerate(texts) if as_whole_word(name).search(text)] for name in names}
    assert standing_in(names, texts) == {name: places for name, places in slowly.items() if places}
