"""The generator: conversations that hold together, in the user's voice, with calls that fit."""

from __future__ import annotations

import json
import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kt_lib.errors import KtError, SetupError
from kt_lib.generator.answering import answer
from kt_lib.generator.checking import check
from kt_lib.generator.dialogues import generate
from kt_lib.generator.fleet import Fleet, Machine
from kt_lib.generator.making import make_fleet
from kt_lib.generator.personality import voices_for, with_personality
from kt_lib.generator.talk import Talk
from kt_lib.generator.teaching import explained
from kt_lib.generator.wording import words
from kt_lib.leakage import measure_leakage
from kt_lib.personas import PERSONAS
from kt_lib.records import ChatMessage, SftRow, ToolCall, ToolSpec
from kt_lib.style import broken_rules
from kt_lib.world.suite import make_tasks

ROWS = list(generate(600, 7))


def calls_of(row: SftRow) -> list[ToolCall]:
    """The calls in a row's messages, in order."""
    found = []
    for message in row.messages:
        if message.role == "assistant" and message.content.startswith(("{", "[")):
            held = json.loads(message.content)
            found += [
                ToolCall(name=one["tool"], arguments=one["params"])
                for one in (held if isinstance(held, list) else [held])
            ]
    return found


def persona_of(row: SftRow) -> str:
    return next(one.name for one in PERSONAS if one.name in row.basis)


def remote(agent_id: str, command: str) -> ToolCall:
    return ToolCall(name="remote_bash", arguments={"agent_id": agent_id, "command": command})


def test_the_shares_are_those_that_were_asked_for() -> None:
    assert Counter(row.kind for row in ROWS) == {"conversation": 330, "conversation_multi_turn": 180, "no_call": 90}
    assert Counter(row.kind for row in generate(40, 1, multi_turn_share=0.5, no_call_share=0.2)) == {
        "conversation": 12, "conversation_multi_turn": 20, "no_call": 8,
    }  # fmt: skip
    assert set(Counter(map(persona_of, ROWS)).values()) == {120}


def test_shares_that_cannot_be_are_refused() -> None:
    with pytest.raises(SetupError, match="together at most 1"):
        list(generate(10, 1, multi_turn_share=0.9, no_call_share=0.2))


def test_all_scenarios_and_patterns_occur() -> None:
    said = Counter(part for row in ROWS for part in row.basis.split(": ", 1)[1].split(", ")[1:])
    for name in ("multi-agent health", "targeted diagnosis", "disk space", "process hunting", "log investigation",
                 "service management", "configuration comparison", "deployment check", "local workspace",
                 "hybrid workflow",
                 "deeper follow-up", "iterative refinement", "teaching", "troubleshooting"):  # fmt: skip
        assert said[name] >= 8, name


def test_one_seed_gives_one_set_of_rows_and_another_another() -> None:
    assert list(generate(20, 5)) == list(generate(20, 5))
    assert not {row.messages for row in generate(50, 5)} & {row.messages for row in generate(50, 6)}


def test_where_no_tool_must_be_called_none_is_and_elsewhere_one_is() -> None:
    for row in ROWS:
        assert bool(calls_of(row)) == (row.kind != "no_call"), row.basis
        turns = sum(message.role == "user" for message in row.messages)
        assert turns >= 2 if row.kind == "conversation_multi_turn" else row.kind == "no_call" or turns == 1


def test_answers_break_no_voice_rule() -> None:
    for row in ROWS[:300]:
        asked = ""
        for message in row.messages:
            if message.role == "user":
                asked = message.content
            if message.role == "assistant" and not message.content.startswith(("{", "[")):
                assert not broken_rules(message.content, persona_of(row), asked), message.content


TERSE = ("why?", "what is it??", "I have no time, explain this to me in one sentence, please!!")


@pytest.mark.parametrize("persona", [one.name for one in PERSONAS])
@pytest.mark.parametrize("asked", TERSE)
def test_a_lesson_keeps_the_voice_of_every_user_however_terse_the_question(persona: str, asked: str) -> None:
    for lesson in words("lessons")["lessons"]:
        talk = Talk(random.Random(1), make_fleet(random.Random(1)), persona)
        talk.ask(asked)
        told = explained(talk, lesson)
        assert not broken_rules(told, persona, asked), told


def test_a_conversation_that_breaks_a_rule_is_refused_in_one_line_that_says_what_to_do() -> None:
    talk = Talk(random.Random(1), make_fleet(random.Random(1)), "senior engineer")
    asked, said = "what is the state of the four machines", "As an AI, I am happy to help.\nAll is well!"
    messages = (ChatMessage(role="user", content=asked), ChatMessage(role="assistant", content=said))
    row = SftRow(messages=messages, task_id="generator/1/2", basis="made up", kind="no_call", source="generator")
    with pytest.raises(KtError, match=r"generator/1/2 .* is not sound: robotic.* give another seed") as refused:
        check(row, talk, "json")
    assert "\n" not in str(refused.value)


def test_several_calls_in_one_message_stand_only_under_a_prompt_that_allows_a_list() -> None:
    several = allowed = 0
    for row in ROWS:
        system = row.messages[0].content
        allowed += "give a list of them" in system
        assert ("give a list of them" in system) + bool(re.search("one step at a time|choose the one tool", system)) < 2
        if any(message.role == "assistant" and message.content.startswith("[{") for message in row.messages):
            several += 1
            assert "give a list of them" in system, row.basis
    assert allowed > several > 40, "where a list is allowed one call may be enough"


def test_by_native_calling_too_nobody_who_takes_one_step_at_a_time_makes_several_calls_at_once() -> None:
    several = [
        row for row in generate(300, 8, protocol="native") if any(len(one.tool_calls) > 1 for one in row.messages)
    ]
    assert len(several) > 20
    assert not [row.basis for row in several if "one step at a time" in row.messages[0].content]


def every_machine(seeds: int) -> list[tuple[Fleet, Machine]]:
    fleets = [make_fleet(random.Random(seed)) for seed in range(seeds)]
    return [(fleet, machine) for fleet in fleets for machine in fleet.online]


def used_on(fleet: Fleet, machine: Machine) -> dict[str, int]:
    """Mounts with the gigabytes that `df -h` calls used."""
    table = answer(fleet, remote(machine.id, "df -h"))[1].split("\n")[1:]
    return {line.split()[-1]: int(line.split()[2].rstrip("G")) for line in table}


def sizes_in(fleet: Fleet, machine: Machine, mount: str) -> list[tuple[str, float]]:
    """Folders with their gigabytes as `du` prints them."""
    command = f"du -xh --max-depth=1 {mount} | sort -rh | head -4"
    lines = [line.split("\t") for line in answer(fleet, remote(machine.id, command))[1].split("\n")]
    return [(name, 0.5 if size == "512M" else float(size.rstrip("G"))) for size, name in lines]


def test_du_prints_a_mount_and_the_folders_right_below_it_that_lie_on_it() -> None:
    for fleet, machine in every_machine(80):
        used = used_on(fleet, machine)
        for mount in used:
            (whole, total), *folders = sizes_in(fleet, machine, mount)
            assert (whole, total) == (mount, used[mount])
            assert [size for _, size in folders] == sorted((size for _, size in folders), reverse=True)
            smallest, listed = folders[-1][1], sum(size for _, size in folders)
            assert listed <= total <= listed + 2 * smallest + 1, "what is not listed is smaller than what is"
            for name, _ in folders:
                assert re.fullmatch(rf"{mount.rstrip('/')}/[^/]+", name)
                assert name not in used, "another disk is mounted there"


def test_the_journal_is_vacuumed_down_to_the_size_that_was_asked_for() -> None:
    command = "journalctl --vacuum-size=500M"
    for fleet, machine in every_machine(80):
        used = used_on(fleet, machine)
        held = "/var" if "/var" in used else "/"
        logs = "/var/log" if held == "/var" else "/var"
        before = dict(sizes_in(fleet, machine, held))
        after, said = answer(fleet, remote(machine.id, command))
        freed = int(re.findall(r"freed (\d+)G", said)[0])
        assert used_on(after, machine) == used | {held: used[held] - freed}
        left = dict(sizes_in(after, machine, held)).get(logs, 0.5)
        assert before[logs] - left in (freed, freed - 0.5)
        assert left < freed, "what is left are other files and the newest 500 MB"
        assert "freed 0B" in answer(after, remote(machine.id, command))[1], "nothing older is left"


def test_whoever_learns_hears_no_tip_twice_in_a_conversation() -> None:
    told = 0
    for row in [*ROWS, *generate(400, 12, multi_turn_share=1.0, no_call_share=0.0)]:
        tips = [
            tip for one in row.messages if one.role == "assistant" for tip in re.findall("Pro tip: (.*)", one.content)
        ]
        told += len(tips) > 1
        assert len(tips) == len({tip.split(". ")[0].rstrip(".") for tip in tips}), row.messages[1:]
    assert told > 60


@pytest.mark.parametrize(("kind", "least"), [("no_call", 0.8), ("conversation_multi_turn", 0.65)])
def test_last_words_differ_even_without_their_names_and_numbers(kind: str, least: float) -> None:
    rows = [row for row in generate(1000, 13) if row.kind == kind]
    words_of = [re.sub(r"`[^`]*`|\d+(?:\.\d+)*|(?<!^)\b[A-Z]\w+", "_", row.messages[-1].content) for row in rows]
    assert len(set(words_of)) / len(rows) >= least


def test_an_agent_that_was_listed_is_there_later() -> None:
    seen = 0
    for row in ROWS:
        listed: set[str] = set()
        for message in row.messages:
            if message.role == "tool" and message.name == "list_agents":
                text = message.content
                listed = (
                    {one["id"] for one in json.loads(text)}
                    if text.startswith("[")
                    else set(re.findall(r"(?m)^(\S+) - ", text))
                )
            elif listed and message.role == "assistant" and message.content.startswith('{"tool": "remote_bash"'):
                assert json.loads(message.content)["params"].get("agent_id", next(iter(listed))) in listed
                seen += 1
    assert seen > 40


def test_what_was_said_once_stays_so_until_something_is_changed() -> None:
    compared = 0
    for row in generate(400, 9, multi_turn_share=1.0, no_call_share=0.0):
        held: dict[tuple[str, str], str] = {}
        calls = iter(calls_of(row))
        for message in row.messages:
            if message.role != "tool":
                continue
            call = next(calls)
            command = str(call.arguments.get("command"))
            if any(word in command for word in ("vacuum", "restart", "stop", "kill")):
                held = {}
            for key, fact in facts(call, command, message.content):
                compared += key in held
                assert held.setdefault(key, fact) == fact, row.task_id
    assert compared > 10


def facts(call: ToolCall, command: str, result: str) -> list[tuple[tuple[str, str], str]]:
    """What a result says of a machine: how full its root disk is, its memory, version, services and processes."""
    if call.name == "remote_bash_all":
        parts = re.findall(r"\[(\S+)\]\s([^\[]*)", result)
    else:
        parts = [(str(call.arguments.get("agent_id")), result)]
    found = []
    for host, text in parts:
        for line in text.split("\n"):
            if command.startswith("df") and line.endswith(" /"):
                found.append(((host, "root disk"), line.split()[-2]))
            if command.startswith("free") and (numbers := re.match(r"(?:Mem: +)?(\d+ \d+ \d+)$", line)):
                found.append(((host, "memory"), numbers[1]))
            if failed := re.match(r"(\S+)\.service loaded failed", line):
                found.append(((host, failed[1]), "failed"))
            if command.startswith("systemctl status") and (state := re.match(r"Active: (\w+)", line)):
                found.append(((host, command.split()[-1]), state[1]))
            if process := re.match(r"(\d+) \S+ (\S+) (\S+) (\S+)$", line):
                found.append(((host, f"pid {process[1]}"), " ".join(process.groups())))
        if command.endswith("VERSION"):
            found.append(((host, "version"), text.strip()))
    return found


def test_looking_changes_nothing() -> None:
    for seed in range(30):
        fleet = make_fleet(random.Random(seed))
        one = fleet.machines[0]
        looks = (
            "df -h",
            "free -m",
            "uptime",
            "nproc",
            "systemctl --failed --no-legend",
            f"cat /opt/{fleet.app}/VERSION",
        )
        for command in looks:
            after, _ = answer(fleet, remote(one.id, command))
            assert after.machines == fleet.machines


def test_a_restarted_service_is_active_and_a_stopped_one_is_not() -> None:
    fleet = make_fleet(random.Random(3))
    one = fleet.machines[0]
    for service in one.services:
        fleet, _ = answer(fleet, remote(one.id, f"systemctl stop {service.name}"))
        assert answer(fleet, remote(one.id, f"systemctl is-active {service.name}"))[1] == "inactive"
        fleet, _ = answer(fleet, remote(one.id, f"systemctl restart {service.name}"))
        assert answer(fleet, remote(one.id, f"systemctl is-active {service.name}"))[1] == "active"
        assert "active (running)" in answer(fleet, remote(one.id, f"systemctl status {service.name}"))[1]


def test_an_unknown_agent_is_an_error_and_so_is_an_unknown_command() -> None:
    fleet = make_fleet(random.Random(4))
    assert answer(fleet, remote("nobody", "uptime"))[1] == "error: unknown agent 'nobody'"
    assert answer(fleet, remote(fleet.machines[0].id, "frobnicate -x"))[1] == "bash: frobnicate: command not found"


def test_a_killed_process_is_gone_and_its_load_with_it() -> None:
    fleet = make_fleet(random.Random(5))
    one = fleet.machines[0]
    gone = max(one.processes, key=lambda process: process.cpu)
    after, _ = answer(fleet, remote(one.id, f"kill {gone.pid}"))
    table = answer(after, remote(one.id, "ps -eo pid,user,%cpu,%mem,comm --sort=-%cpu | head -5"))[1]
    assert str(gone.pid) not in table
    assert after.machines[0].load[0] <= one.load[0]


def test_requests_differ_even_without_their_names_and_numbers() -> None:
    rows = list(generate(1500, 11))
    assert len({row.messages[1:] for row in rows}) == 1500
    assert len({masked(row) for row in rows}) >= 0.6 * 1500


def masked(row: SftRow) -> str:
    """The first request without the names of machines, services and files, and without numbers."""
    said = next(message.content for message in row.messages if message.role == "user")
    names = {str(value) for call in calls_of(row) for value in call.arguments.values()}
    words = {word for name in names for word in re.split(r"[\s/|,.=]+", name) if len(word) > 3}
    for word in sorted(words, key=len, reverse=True):
        said = said.replace(word, "_")
    return re.sub(r"\d+", "0", said)


def test_nothing_of_an_evaluation_task_is_in_the_rows() -> None:
    tasks = [task for kind in ("main", "not_calling", "multi_turn") for task in make_tasks(1, "test", kind, 200)]
    assert measure_leakage(tasks, ROWS, [], [], 0.95).leaks == ()


def test_native_rows_carry_calls_and_tools_as_such() -> None:
    rows = list(generate(60, 2, protocol="native"))
    called = [row for row in rows if row.kind != "no_call"]
    assert all(row.tools for row in rows)
    for row in called:
        names = {tool.name for tool in row.tools}
        calls = [call for message in row.messages for call in message.tool_calls]
        assert calls
        assert {call.name for call in calls} <= names


def trajectory(answer_text: str) -> SftRow:
    """A trajectory as other people's data holds it: native calls, a stiff answer."""
    call = ToolCall(name="read_file", arguments={"path": "/etc/app.conf"})
    return SftRow(
        messages=(
            ChatMessage(role="user", content="which port does the application listen on, as the settings say"),
            ChatMessage(role="assistant", tool_calls=(call,)),
            ChatMessage(role="tool", name="read_file", content="port = 8080"),
            ChatMessage(role="assistant", content=answer_text),
        ),
        tools=(ToolSpec(name="read_file"),), kind="trajectory", task_id="t/1", basis="a trajectory", source="toucan",
    )  # fmt: skip


STIFF = "As an AI, I am happy to assist. Sorry for the delay! The file /etc/app.conf sets the port to 8080."


@pytest.mark.parametrize("persona", [one.name for one in PERSONAS])
def test_personality_keeps_the_fact_and_drops_the_stiffness(persona: str) -> None:
    row = with_personality(trajectory(STIFF), persona, 1)
    said = row.messages[-1].content
    assert "`/etc/app.conf`" in said
    assert "8080" in said
    assert "AI" not in said
    assert "Sorry" not in said
    assert not broken_rules(said, persona, row.messages[0].content)
    assert row.basis == f"a trajectory; voice added: {persona}"


def test_personality_touches_neither_calls_nor_results_nor_the_users_words() -> None:
    changed = 0
    for row in ROWS[:200]:
        for persona in voices_for(row, [one.name for one in PERSONAS], 3):
            after = with_personality(row, persona, 3)
            assert len(after.messages) == len(row.messages)
            for old, new in zip(row.messages, after.messages, strict=True):
                if old.role != "assistant" or old.tool_calls or old.content.startswith(("{", "[")):
                    assert new == old
                else:
                    changed += new != old
                    assert not set(re.findall(r"\d+", old.content)) - set(re.findall(r"\d+", new.content))
    assert changed > 300


@given(st.text(max_size=300), st.sampled_from([one.name for one in PERSONAS]))
def test_whatever_an_answer_is_its_voice_holds_or_it_is_refused(text: str, persona: str) -> None:
    row = trajectory(text)
    if not voices_for(row, [persona], 1):
        return
    after = with_personality(row, persona, 1)
    assert after.messages[:-1] == row.messages[:-1]
    if after.messages[-1].content != text:
        assert not broken_rules(after.messages[-1].content, persona, row.messages[0].content)


def test_an_answer_that_is_too_long_for_an_executive_is_refused_rather_than_cut() -> None:
    row = trajectory("The port is 8080. The host is 1. The user is 2. The level is 3. The size is 4.")
    with pytest.raises(SetupError, match="take another persona"):
        with_personality(row, "executive brief", 1)
    assert "executive brief" not in voices_for(row, [one.name for one in PERSONAS], 1)


def test_thoughts_before_actions_are_no_answers() -> None:
    row = trajectory("Thought: I need the file.\nAction: read_file")
    assert with_personality(row, "casual developer", 1).messages == row.messages


@pytest.mark.parametrize(
    ("stiff", "plain"),
    [
        ("Sorry, the port is 8080.", "The port is 8080."),
        ("I'm so sorry for the wait, but the port is 8080.", "The port is 8080."),
        ("We apologize for the delay. The port is 8080.", "The port is 8080."),
        ("I am sorry, I don't know the port.", "I am sorry, I don't know the port."),
    ],
)
def test_a_needless_apology_goes_and_what_it_came_with_stays(stiff: str, plain: str) -> None:
    assert plain in with_personality(trajectory(stiff), "senior engineer", 1).messages[-1].content


def rows_of(call: ToolCall, result: str) -> dict[str, float]:
    """What a result ranks: machines by load, root disk or errors, processes by their share, disks by how full."""
    command = str(call.arguments.get("command"))
    found: dict[str, float] = {}
    for line in result.split("\n"):
        host, _, text = line[1:].partition("] ")
        if call.name == "remote_bash_all" and "error" not in text:
            if command == "uptime":
                found[host] = float(text.split("load average: ")[1].split(",")[0])
            elif command.startswith("df"):
                found[host] = float(text.split()[-2].rstrip("%"))
            elif command.startswith("grep -c"):
                found[host] = float(text)
        elif command == "df -h" and line.startswith("/dev"):
            *_, percent, mount = line.split()
            found[mount] = float(percent.rstrip("%"))
        elif command.startswith("ps ") and line[:1].isdigit():
            _, _, cpu, memory, name = line.split()
            found[name] = float(cpu if "sort=-%cpu" in command else memory)
    return found


def test_an_answer_names_what_its_result_puts_first() -> None:
    checked = 0
    for row in ROWS:
        calls = iter(calls_of(row))
        held: dict[str, float] = {}
        acted = False
        for before, message in zip(row.messages, row.messages[1:], strict=False):
            if message.role == "user":
                acted = False
            if message.role == "tool":
                call = next(calls)
                held = rows_of(call, message.content)
                acted |= any(word in str(call.arguments) for word in ("vacuum", "kill"))
            if message.role == "assistant" and before.role == "tool" and message.content[0] not in "{[" and not acted:
                said = "\n".join(line for line in message.content.split("\n") if not line.startswith("- "))
                said = re.split(r"(?<=[.;]) (?=Want|Should|Shall|I can|Next|If you|Happy|Say|`\S+` is offline)", said)[
                    0
                ]
                named = [name for name in held if f"`{name}`" in said]
                checked += bool(named)
                assert not named or held[named[0]] == max(held.values()), (row.task_id, said)
    assert checked > 60


def test_the_number_of_agents_that_is_told_is_the_number_that_answered() -> None:
    checked = 0
    for row in ROWS:
        for before, message in zip(row.messages, row.messages[1:], strict=False):
            told = re.search(
                r"\b[Aa]ll (three|four|five)\b|\b(three|four|five|Three|Four|Five) agents\b", message.content
            )
            if before.role == "tool" and before.name == "remote_bash_all" and told and message.role == "assistant":
                word = (told[1] or told[2]).lower()
                answered = len(re.findall(r"(?m)^\[\S+\]", before.content)) - before.content.count("agent is offline")
                assert answered == {"three": 3, "four": 4, "five": 5}[word], row.task_id
                checked += 1
    assert checked > 15


def test_a_disk_is_called_short_of_space_where_the_result_says_so_and_only_there() -> None:
    short = fine = 0
    for row in ROWS:
        calls = iter(calls_of(row))
        for before, message in zip(row.messages, row.messages[1:], strict=False):
            call = next(calls) if before.role == "tool" else None
            command = str(call.arguments.get("command")) if call else ""
            if (
                call is None
                or not command.startswith("df")
                or message.role != "assistant"
                or message.content[0] in "{["
            ):
                continue
            fullest = max(rows_of(call, before.content).values(), default=0)
            said = message.content.split("Pro tip")[0]
            if re.search(r"[Ss]hort (?:on|of)|nearly full|out of disk|low on disk|tight one|one to watch", said):
                short += 1
                assert fullest >= 85, (row.task_id, said)
            if re.search(r"has room|[Dd]isk space is fine|have room|plenty of disk|close to full", said):
                fine += 1
                assert fullest < 85, (row.task_id, said)
    assert min(short, fine) >= 5
