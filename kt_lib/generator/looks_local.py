"""Looks at the local checkout, and at the checkout and the fleet together."""

from __future__ import annotations

from kt_lib.generator.looks_fleet import differing, versions
from kt_lib.generator.talk import Finding, Talk
from kt_lib.generator.wording import listed


def changed(talk: Talk) -> Finding:
    """The branch and what is not committed."""
    talk.local("git status -s", "git branch --show-current")
    here = talk.fleet.checkout
    values = {"branch": here.branch, "files": listed(here.changed) if here.changed else ""}
    return Finding(
        look="changed", state="dirty" if here.changed else "clean", values=values, nexts=("tests", "commits")
    )


def tests(talk: Talk) -> Finding:
    """A run of the tests."""
    talk.local("pytest -q")
    here = talk.fleet.checkout
    good = not here.failing
    return Finding(
        look="tests", state="pass" if good else "fail", values=test_values(talk), good=good,
        points=tuple(f"`{name}` fails" for name in here.failing) if len(here.failing) > 1 else (),
        nexts=("commits", "version_gap") if good else ("changed", "commits"),
    )  # fmt: skip


def test_values(talk: Talk) -> dict[str, str]:
    """The test run as values."""
    here = talk.fleet.checkout
    failing = listed(here.failing) if here.failing else ""
    return {"passed": str(here.tests - len(here.failing)), "failing": failing}


def todos(talk: Talk) -> Finding:
    """The TODO comments."""
    talk.local("grep -n TODO *.py")
    found = talk.fleet.checkout.todos
    points = tuple(f"`{file}`, line {line}: {text}" for file, line, text in found)
    values = dict(zip(("file", "line", "text"), map(str, found[0]), strict=True)) if found else {}
    return Finding(
        look="todos", state="some" if found else "none", values=values, points=points, nexts=("lines", "tests")
    )


def lines(talk: Talk) -> Finding:
    """How long the files are."""
    talk.local("wc -l *.py")
    found = sorted(talk.fleet.checkout.lines, key=lambda one: -one[1])
    rows = tuple((name, float(count), f"{count} lines") for name, count in found)
    values = {"file": found[0][0], "count": str(found[0][1]), "total": str(sum(count for _, count in found))}
    points = tuple(f"`{name}`: {text}" for name, _, text in rows)
    return Finding(look="lines", state="found", values=values, points=points, rows=rows, nexts=("todos", "tests"))


def commits(talk: Talk) -> Finding:
    """The newest commits."""
    talk.local("git log --oneline -3")
    found = talk.fleet.checkout.commits
    return Finding(
        look="commits", state="found", values={"hash": found[0][0], "subject": found[0][1]},
        points=tuple(f"`{short}`: {subject}" for short, subject in found), nexts=("changed", "tests"),
    )  # fmt: skip


def version_gap(talk: Talk) -> Finding:
    """The version here against the versions deployed."""
    talk.local("cat VERSION")
    talk.fleetwide(f"cat /opt/{talk.at['app']}/VERSION")
    return versions(talk, "version_gap", talk.fleet.checkout.version)


def setting_gap(talk: Talk) -> Finding:
    """The settings here against those on a machine."""
    app = talk.at["app"]
    talk.local(f"cat {app}.conf")
    talk.remote(f"cat /etc/{app}.conf")
    return differing(talk, "setting_gap", talk.fleet.checkout.settings, talk.machine.settings)


def test_restart(talk: Talk) -> Finding:
    """The tests, and a restart where they pass."""
    talk.local("pytest -q")
    talk.at["service"] = talk.at["app"]
    if talk.fleet.checkout.failing:
        return Finding(look="test_restart", state="held", values=test_values(talk), nexts=("changed",), good=False)
    talk.remote(f"systemctl restart {talk.at['app']}")
    talk.remote(f"systemctl is-active {talk.at['app']}")
    return Finding(look="test_restart", state="done", values=test_values(talk), nexts=("log", "status"))
