"""How a made-up fleet is drawn: machines of which about half have a fault, and a checkout."""

from __future__ import annotations

import random
import re
from typing import Literal

from kt_lib.generator.fleet import Checkout, Disk, Fleet, Machine, Process, Service, clock_time, material, with_journal
from kt_lib.world.names import make

OFFLINE_SHARE = 0.15


def make_fleet(rng: random.Random) -> Fleet:
    """A fleet of three to five machines with a few things wrong, and a checkout."""
    app, clock = make("service", rng, False), rng.randint(7 * 60, 22 * 60)
    newest = f"{rng.randint(1, 9)}.{rng.randint(0, 20)}.{rng.randint(1, 9)}"
    settings = make_settings(rng)
    ids: list[str] = []
    jobs: list[str] = []
    wanted = rng.randint(3, 5)
    while len(ids) < wanted:
        name = make("host", rng, False)
        told = job_told_by(name)
        if told not in jobs and all(name not in one and one not in name for one in ids):
            ids.append(name)
            jobs.append(told or rng.choice([job for job in material()["jobs"] if job not in jobs]))
    machines: list[Machine] = []
    for name, job in zip(ids, jobs, strict=True):
        machines.append(make_machine(rng, name, job, app, newest, settings, clock))
    if len(machines) > 3 and rng.random() < OFFLINE_SHARE:
        at = rng.randrange(len(machines))
        machines[at] = machines[at].model_copy(update={"online": False})
    return Fleet(
        app=app, machines=tuple(machines), checkout=make_checkout(rng, newest, settings), clock=clock,
        lists_as=rng.choice(("lines", "lines", "json")),
    )  # fmt: skip


def job_told_by(name: str) -> str:
    """The job that a name such as `web-12` tells; empty where it tells none."""
    jobs = material()["jobs"].items()
    return next((job for job, entry in jobs if any(re.match(rf"{stem}-?\d", name) for stem in entry["names"])), "")


def make_settings(rng: random.Random) -> tuple[tuple[str, str], ...]:
    """Settings of the application: four of the known keys."""
    keys = rng.sample(sorted(material()["settings"]), 4)
    return tuple((key, str(rng.choice(material()["settings"][key]))) for key in keys)


def make_machine(
    rng: random.Random, name: str, job: str, app: str, newest: str, settings: tuple[tuple[str, str], ...], clock: int
) -> Machine:
    """A machine; on about half of them something is wrong."""
    fault = rng.choice(("", "", "", "disk", "memory", "cpu", "service"))
    cores, total = rng.choice((2, 4, 8, 16)), rng.choice((3936, 7976, 15995, 32068))
    services = make_services(rng, job, app, clock, failing=fault == "service" or rng.random() < 0.15)
    processes = make_processes(rng, services, app, fault)
    busy = sum(one.cpu for one in processes) / 100 + rng.uniform(0.02, 0.3)
    load = tuple(round(busy * factor, 2) for factor in (1, rng.uniform(0.7, 1.05), rng.uniform(0.4, 1.0)))
    used = rng.randint(88, 96) if fault == "memory" else rng.randint(42, 74)
    full = fault == "disk" or any(one.cause == "disk_full" for one in services)
    behind = rng.random() < 0.25
    disks = make_disks(rng, full)
    return Machine(
        id=name, job=job, cores=cores, days=rng.randint(2, 260), load=(load[0], load[1], load[2]), memory=total,
        memory_used=total * used // 100, disks=disks, processes=processes, services=services,
        version=older(newest, rng) if behind else newest, settings=drifted(settings, rng), journal=archived(rng, disks),
    )  # fmt: skip


def older(version: str, rng: random.Random) -> str:
    """A version before this one."""
    major, minor, patch = (int(part) for part in version.split("."))
    if minor and rng.random() < 0.5:
        return f"{major}.{minor - 1}.{rng.randint(0, 9)}"
    return f"{major}.{minor}.{patch - 1}"


def drifted(settings: tuple[tuple[str, str], ...], rng: random.Random) -> tuple[tuple[str, str], ...]:
    """The settings, on one machine of three with one value changed."""
    if rng.random() > 0.33:
        return settings
    at = rng.randrange(len(settings))
    key, value = settings[at]
    other = rng.choice([str(one) for one in material()["settings"][key] if str(one) != value])
    return (*settings[:at], (key, other), *settings[at + 1 :])


def make_disks(rng: random.Random, tight: bool) -> tuple[Disk, ...]:
    """A root disk and up to two more; one of them nearly full where it is tight."""
    mounts = ["/", *rng.sample(["/var", "/data", "/home", "/srv"], rng.randint(0, 2))]
    full = rng.randrange(len(mounts)) if tight else -1
    found = []
    for at, mount in enumerate(mounts):
        size = rng.choice((20, 40, 60, 80, 120, 200))
        percent = rng.randint(89, 99) if at == full else rng.randint(12, 76)
        used = max(4, size * percent // 100)
        folders = shares(rng, used, [name for name in material()["folders"][mount] if name not in mounts])
        found.append(Disk(device=f"/dev/sd{'abc'[at]}1", mount=mount, size=size, used=used, folders=folders))
    return tuple(found)


def shares(rng: random.Random, used: int, names: list[str]) -> tuple[tuple[str, int], ...]:
    """Three folders with nearly all that is used, biggest first and no two the same; one with logs leads."""
    first = max(2, int(used * rng.uniform(0.5, 0.65)))
    second = max(1, min(first - 1, int((used - first) * rng.uniform(0.6, 0.8))))
    third = max(0, min(second - 1, used - first - second - 1))
    chosen = sorted(rng.sample(names, len(names)), key=lambda name: name not in ("/var", "/var/log"))
    return ((chosen[0], first), (chosen[1], second), (chosen[2], third))


def archived(rng: random.Random, disks: tuple[Disk, ...]) -> int:
    """Gigabytes of old journals: most of what the folder with the logs holds."""
    held = with_journal(disks)
    size = dict(held.folders)[held.log_folder]
    return size - int(size * rng.uniform(0.05, 0.2))


def make_processes(rng: random.Random, services: tuple[Service, ...], app: str, fault: str) -> tuple[Process, ...]:
    """Four processes: those of the services that run, the application's, and a few more; one runs away with a fault."""
    running = [(one.pid, one.name) for one in services if one.state == "active"]
    others = rng.sample(material()["processes"], 4)
    pids = rng.sample(range(1200, 32000), 4)
    named = [*running, *((pid, name) for pid, name in zip(pids, others, strict=True))][:4]
    culprit = rng.randrange(len(named)) if fault in ("cpu", "memory") else -1
    found = []
    for at, (pid, name) in enumerate(named):
        cpu, memory = rng.uniform(0.1, 14.0), rng.uniform(0.2, 9.0)
        if at == culprit:
            cpu = rng.uniform(91, 199) if fault == "cpu" else cpu
            memory = rng.uniform(48, 71) if fault == "memory" else memory
        user = material()["users"].get(name, app if name == app else "root")
        found.append(Process(pid=pid, user=user, name=name, cpu=round(cpu, 1), memory=round(memory, 1)))
    return tuple(found)


def make_services(rng: random.Random, job: str, app: str, clock: int, failing: bool) -> tuple[Service, ...]:
    """The service that the job needs, the application's, and one that runs everywhere."""
    names = [rng.choice(material()["jobs"][job]["services"]), app, rng.choice(("cron", "sshd", "rsyslog"))]
    pids = rng.sample(range(600, 1190), 3)
    down = rng.choice((0, 1)) if failing else -1
    return tuple(
        make_service(rng, name, pid, clock, at == down) for at, (name, pid) in enumerate(zip(names, pids, strict=True))
    )


def make_service(rng: random.Random, name: str, pid: int, clock: int, failed: bool) -> Service:
    """A service with its journal; a failed one has the cause in it."""
    at = clock - rng.randint(20, 240)
    causes = material()["causes"]
    cause = rng.choice(sorted(causes)) if failed else ""
    lines = [f"Started {name}.", *rng.sample(material()["quiet_lines"], 2)]
    if cause:
        lines += [causes[cause]["line"], f"Main process exited, code=exited, status={rng.randint(1, 3)}"]
    times = sorted(rng.sample(range(at, at + 18), len(lines)))
    log = tuple(
        f"{clock_time(minute)}:{rng.randint(0, 59):02d} {line}" for minute, line in zip(times, lines, strict=True)
    )
    errors = rng.randint(12, 480) if cause else rng.choice((0, 0, 1, 2, 3))
    state: Literal["active", "failed"] = "failed" if cause else "active"
    since = log[-1][:5] if cause else log[0][:5]
    return Service(name=name, state=state, since=since, pid=pid, log=log, errors=errors, cause=cause)


def make_checkout(rng: random.Random, version: str, settings: tuple[tuple[str, str], ...]) -> Checkout:
    """A repository with a few changes, a few TODOs and sometimes a failing test."""
    files_in = sorted({make("file", rng, False).rsplit(".", 1)[0] + ".py" for _ in range(rng.randint(3, 5))})
    lines = tuple((name, rng.randint(24, 940)) for name in files_in)
    changed = tuple(rng.sample(files_in, rng.randint(0, min(3, len(files_in)))))
    words = material()
    todos = tuple(
        (name, rng.randint(2, count), rng.choice(words["todos"]))
        for name, count in sorted(rng.sample(lines, rng.randint(0, 3)))
    )
    failing = tuple(f"test_{rng.choice(words['tests'])}" for _ in range(rng.choice((0, 0, 1, 2))))
    commits = tuple((f"{rng.getrandbits(28):07x}", subject) for subject in rng.sample(words["commits"], 3))
    return Checkout(
        folder=make("repo", rng, False), branch=make("branch", rng, False), changed=changed, commits=commits,
        lines=lines, todos=todos, tests=rng.randint(14, 320), failing=tuple(dict.fromkeys(failing)), version=version,
        settings=drifted(settings, rng),
    )  # fmt: skip
