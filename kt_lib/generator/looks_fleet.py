"""Looks at several machines, at the checkout, and at both: each makes its calls and says what they showed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kt_lib.generator.fleet import Machine
from kt_lib.generator.looks_machine import TIGHT_DISK, TIGHT_MEMORY
from kt_lib.generator.talk import Finding, Talk, made
from kt_lib.generator.wording import listed, number

BUSY = 1.2


def loads_all(talk: Talk) -> Finding:
    """The load of every machine."""
    talk.fleetwide("uptime")
    found = sorted(talk.fleet.online, key=lambda one: -one.load[0])
    talk.at["host"] = found[0].id
    busy = found[0].load[0] >= BUSY
    rows = tuple((one.id, one.load[0], f"{one.load[0]:.2f}") for one in found)
    return Finding(
        look="loads_all", state="busy" if busy else "quiet", good=not busy, rows=rows, points=as_points(rows, "load "),
        values={"host": found[0].id, "load": rows[0][2], "total": number(len(found))},
        nexts=("top_cpu",) if busy else ("failed_all", "memory_all"),
    )  # fmt: skip


def as_points(rows: Sequence[tuple[str, float, str]], before: str = "", after: str = "") -> tuple[str, ...]:
    """Names with their figures as facts."""
    return tuple(f"`{name}`: {before}{text}{after}" for name, _, text in rows)


def memory_all(talk: Talk) -> Finding:
    """The memory of every machine."""
    talk.fleetwide("free -m | awk '/Mem/{print $2, $3, $4}'")
    found = sorted(talk.fleet.online, key=lambda one: one.memory - one.memory_used)
    fullest = max(found, key=lambda one: one.memory_percent)
    tight = fullest.memory_percent >= TIGHT_MEMORY
    first = fullest if tight else found[0]
    talk.at["host"] = first.id
    return Finding(
        look="memory_all", state="tight" if tight else "fine", good=not tight,
        points=tuple(f"`{one.id}`: {one.memory - one.memory_used} of {one.memory} MB free" for one in found),
        values={"host": first.id, "free": str(first.memory - first.memory_used), "total": str(first.memory)},
        nexts=("top_mem",) if tight else ("loads_all", "disks_all"),
    )  # fmt: skip


def disks_all(talk: Talk) -> Finding:
    """The root disk of every machine."""
    talk.fleetwide("df -h / | tail -1")
    found = sorted(talk.fleet.online, key=lambda one: -one.disks[0].percent)
    first = found[0].disks[0]
    talk.at |= {"host": found[0].id, "mount": "/"}
    tight = first.percent >= TIGHT_DISK
    rows = tuple((one.id, float(one.disks[0].percent), f"{one.disks[0].percent}%") for one in found)
    return Finding(
        look="disks_all", state="tight" if tight else "fine", good=not tight, rows=rows,
        points=as_points(rows, after=" used"), nexts=("folders",) if tight else ("memory_all", "loads_all"),
        values={"host": found[0].id, "percent": rows[0][2], "free": str(first.free)},
    )  # fmt: skip


def where_runs(talk: Talk) -> Finding:
    """Which machines run a process."""
    name = talk.at["process"]
    result = talk.fleetwide(f"pgrep -c {name}")
    answers = [line[1:].split("] ") for line in result.split("\n")]
    counts = {host: int(count) for host, count in answers if count.isdigit()}
    running = [host for host, count in counts.items() if count]
    values = {"total": number(len(counts)), "hosts": listed(running) if running else ""}
    if running:
        talk.at["host"] = running[0]
    return Finding(
        look="where_runs", state="some" if running else "none", values=values,
        nexts=("top_cpu",) if running else ("loads_all", "failed_all"),
    )  # fmt: skip


def failed_all(talk: Talk) -> Finding:
    """The failed services of every machine."""
    talk.fleetwide("systemctl --failed --no-legend")
    failed = [(one, service) for one in talk.fleet.online for service in one.services if service.state == "failed"]
    values = {"total": number(len(talk.fleet.online)), "count": number(len(failed))}
    if failed:
        talk.at |= {"host": failed[0][0].id, "service": failed[0][1].name}
    return Finding(
        look="failed_all", state="none" if not failed else "one" if len(failed) == 1 else "more", values=values,
        points=tuple(f"`{service.name}` on `{one.id}`" for one, service in failed) if len(failed) > 1 else (),
        nexts=("log",) if failed else ("loads_all", "disks_all"), good=not failed,
    )  # fmt: skip


def errors_all(talk: Talk) -> Finding:
    """The errors of the application on every machine."""
    app = talk.at["app"]
    talk.fleetwide(f"grep -c ERROR /var/log/{app}.log")
    counted = [
        (one.id, float(service.errors), str(service.errors))
        for one in talk.fleet.online
        for service in one.services
        if service.name == app
    ]
    rows = tuple(sorted(counted, key=lambda row: -row[1]))
    talk.at |= {"host": rows[0][0], "service": app}
    some = rows[0][1] > 0
    return Finding(
        look="errors_all", state="some" if some else "none", rows=rows if some else (), points=as_points(rows),
        values={"host": rows[0][0], "count": rows[0][2], "total": number(len(rows))}, good=rows[0][1] < 10,
        nexts=("log",) if some else ("loads_all", "failed_all"),
    )  # fmt: skip


def compare(talk: Talk) -> Finding:
    """The settings of two machines, read in one message."""
    app, host, other = talk.at["app"], talk.at["host"], talk.at["other"]
    talk.act(*(made("remote_bash", agent_id=one, command=f"cat /etc/{app}.conf") for one in (host, other)))
    second = talk.fleet.machine(other)
    assert second is not None
    return differing(talk, "compare", talk.machine.settings, second.settings)


def differing(talk: Talk, look: str, first: Sequence[tuple[str, str]], second: Sequence[tuple[str, str]]) -> Finding:
    """Two sets of settings held against each other; at most one value differs from the common ones on each side."""
    apart = [(key, value, dict(second)[key]) for key, value in first if dict(second)[key] != value]
    if not apart:
        talk.at["key"] = first[0][0]
        return Finding(look=look, state="same", values={}, nexts=("setting_all", "versions_all"))
    key, value, other = apart[0]
    talk.at["key"] = key
    points = [f"`{key}`: `{one}` against `{two}`" for key, one, two in apart] if len(apart) > 1 else []
    return Finding(
        look=look, state="differ" if len(apart) == 1 else "several", points=tuple(points), nexts=("setting_all",),
        values={"key": key, "value": value, "second": other, "count": number(len(apart))}, good=False,
    )  # fmt: skip


def setting_all(talk: Talk) -> Finding:
    """One setting on every machine."""
    key = talk.at["key"]
    talk.fleetwide(f"grep {key} /etc/{talk.at['app']}.conf")
    held = {one.id: dict(one.settings)[key] for one in talk.fleet.online}
    (common, _), *rest = Counter(held.values()).most_common()
    others = [host for host, value in held.items() if value != common]
    values = {"value": common, "total": number(len(held)), "count": number(len(set(held.values())))}
    if len(others) == 1:
        talk.at["host"] = others[0]
        values |= {"host": others[0], "second": held[others[0]]}
    state = "same" if not rest else "differ" if len(others) == 1 and len(held) > 2 else "mixed"
    return Finding(
        look="setting_all", state=state, values=values, good=not rest,
        points=tuple(f"`{host}`: `{value}`" for host, value in held.items()) if rest else (),
        nexts=("settings",) if state == "differ" else ("versions_all", "failed_all"),
    )  # fmt: skip


def versions_all(talk: Talk) -> Finding:
    """The deployed version on every machine."""
    talk.fleetwide(f"cat /opt/{talk.at['app']}/VERSION")
    return versions(talk, "versions_all", max((one.version for one in talk.fleet.online), key=as_numbers))


def as_numbers(version: str) -> tuple[int, ...]:
    """A version as numbers to compare."""
    return tuple(int(part) for part in version.split("."))


def versions(talk: Talk, look: str, wanted: str) -> Finding:
    """Which machines do not have the wanted version."""
    machines: Sequence[Machine] = talk.fleet.online
    behind = [one.id for one in machines if one.version != wanted]
    values = {"version": wanted, "total": number(len(machines))}
    if not behind:
        return Finding(look=look, state="same", values=values, nexts=("failed_all", "loads_all"))
    talk.at |= {"host": behind[0], "service": talk.at["app"]}
    values |= {"hosts": listed(behind), "have": "has" if len(behind) == 1 else "have"}
    state = "differ" if look == "version_gap" else "behind" if len(behind) == 1 else "behind_many"
    return Finding(
        look=look, state=state, values=values, good=False, nexts=("status", "log"),
        points=tuple(f"`{one.id}`: `{one.version}`" for one in machines),
    )  # fmt: skip


def roles(talk: Talk) -> Finding:
    """The agents there are."""
    talk.act(made("list_agents"))
    machines = talk.fleet.online
    return Finding(
        look="roles", state="found",
        values={"total": number(len(machines)), "hosts": listed([one.id for one in machines])},
        points=tuple(f"`{one.id}`: {one.job}" for one in machines), nexts=("loads_all", "failed_all", "disks_all"),
    )  # fmt: skip
