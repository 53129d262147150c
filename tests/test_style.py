"""The voice rules: each with answers that keep it and answers that break it."""

import pytest

from kt_lib.errors import SetupError
from kt_lib.style import CASUAL, EXECUTIVE, LEARNER, ON_CALL, SENIOR, broken_rules, sentences

LONG_ASK = "could you have a look at the disks of the mail server when you find a minute"


def rules(answer: str, persona: str = SENIOR, asked: str = LONG_ASK, terms: tuple[str, ...] = ()) -> list[str]:
    return [broken.rule for broken in broken_rules(answer, persona, asked, terms)]


@pytest.mark.parametrize(
    ("persona", "answer"),
    [
        (CASUAL, "Yep, `db-12` is fine, 41% used 👍 Want me to check the others too?"),
        (SENIOR, "Here's the breakdown:\n- `/var`: 91%\n- `/`: 40%\nWant the biggest folders?"),
        (ON_CALL, "Found it: `nginx` is down on `web-3`. Restart it?"),
        (LEARNER, "I asked `db-12` for its disks, and `/var` is 91% full. Pro tip: `-h` prints sizes for people."),
        (EXECUTIVE, "TL;DR: one of four servers is short of disk. It is `db-12`, at 91%. I can free space today."),
    ],
)
def test_an_answer_in_the_users_voice_breaks_no_rule(persona: str, answer: str) -> None:
    assert rules(answer, persona) == []


@pytest.mark.parametrize(
    ("rule", "persona", "answer"),
    [
        ("emoji", CASUAL, "All good 👍 🎉"),
        ("emoji", SENIOR, "All good 👍"),
        ("robotic", CASUAL, "I will now execute the following command for you."),
        ("robotic", SENIOR, "As an AI, I have no disks."),
        ("robotic", ON_CALL, "Executing command. Wait."),
        ("robotic", SENIOR, "The command was executed successfully."),
        ("apology", CASUAL, "Sorry, the disks look good."),
        ("apology", SENIOR, "Sorry, the restart failed. I apologize for that."),
        ("caveats", SENIOR, "It might be the cache, or perhaps the log, and it may possibly be both."),
        ("caveats", SENIOR, "Please note that this is a snapshot. I can't guarantee it stays so."),
        ("inline_code", SENIOR, "The log is in /var/log/app.log."),
        ("inline_code", SENIOR, "Use the --force flag."),
        ("inline_code", SENIOR, "10.1.2.3 is up."),
        ("energy", SENIOR, "All four are up!"),
        ("energy", CASUAL, "All four are up!!"),
        ("length", ON_CALL, "Found it. " + "word " * 8 + "\n- item" * 70),
        (
            "persona",
            EXECUTIVE,
            "One of the four servers is short of disk: it holds the database and is at 91% by now, as seen today.",
        ),
        ("persona", EXECUTIVE, "TL;DR: all is well. One. Two. Three."),
        ("persona", EXECUTIVE, "One. Two. Three. Four."),
        ("persona", LEARNER, "Pro tip: use `-h`. Tip: use `-m`."),
        ("persona", LEARNER, "All the disks of the server have plenty of room, the fullest of them is at forty percent,"
         " and nothing has to be done."),
        ("persona", SENIOR, "`df` is a command that shows the free space."),
        ("persona", SENIOR, "All good. Pro tip: use `-h`."),
    ],
)  # fmt: skip
def test_an_answer_out_of_voice_breaks_its_rule(rule: str, persona: str, answer: str) -> None:
    assert rules(answer, persona) == [rule]


def test_words_are_read_whole() -> None:
    assert rules("The mayor's mightiest server sorryd is up, in `please note` mode.") == []
    assert rules("The certificate runs out in May, or in May next year, or in May after that.") == []


def test_an_apology_is_due_once_where_something_failed() -> None:
    assert rules("Sorry, there is no agent `web-9`.") == []
    assert rules("Sorry, I read the wrong line.", asked="that is wrong, look at the other disk of the machine") == []


def test_a_stressed_or_terse_user_gets_a_short_first_sentence() -> None:
    winding = "After a look at all of the services on all of the servers it turns out that one is down."
    assert rules(winding, CASUAL) == []
    assert rules(winding, CASUAL, asked="status?") == ["energy"]
    assert rules(winding, CASUAL, asked="PROD is gone, please look at what is going on over there NOW") == ["energy"]
    assert rules(winding, ON_CALL) == ["energy"]
    assert rules(f"One is down. {winding}", ON_CALL) == []


def test_exclamation_marks_are_for_those_who_use_them() -> None:
    assert rules("All up!", SENIOR, asked="please check the four servers of the shop for me!") == []
    assert rules("All up!", CASUAL) == []


def test_names_of_the_calls_and_results_stand_in_inline_code() -> None:
    assert rules("nginx is up on web-3.", terms=("nginx", "web-3")) == ["inline_code"]
    assert rules("`nginx` is up on `web-3`.", terms=("nginx", "web-3")) == []
    assert rules("`web-3` is up.", terms=("web",)) == [], "a part of a name is not the name"


def test_small_talk_needs_neither_summary_nor_tip() -> None:
    assert rules("You're welcome.", EXECUTIVE) == []
    assert rules("Hello, what would you like to look at?", LEARNER) == []


def test_sentences_are_not_cut_inside_code_or_numbers() -> None:
    assert sentences("Load is 0.42 on `a. b`. Fine!\n- one\n- two") == [
        "Load is 0.42 on `a. b`.",
        "Fine!",
        "one",
        "two",
    ]


def test_a_persona_that_is_none_is_refused() -> None:
    with pytest.raises(SetupError, match="no persona with a voice"):
        broken_rules("hello", "EXECUTOR", "hello")
