"""Looks at one machine: each makes its calls and says what they showed."""

from __future__ import annotations

from kt_lib.generator.fleet import Disk, Machine, Process, material
from kt_lib.generator.talk import Finding, Talk, made
from kt_lib.generator.wording import listed

TIGHT_DISK, TIGHT_MEMORY = 85, 85
HOG_CPU, HOG_MEMORY, MANY_ERRORS = 60.0, 40.0, 10
ASKED_FOR = {"load": "uptime", "disks": "df -h", "memory": "free -m"}
TOP = "ps -eo pid,user,%cpu,%mem,comm --sort=-%{by} | head -{lines}"


def disk_point(disk: Disk) -> str:
    """One disk as a fact."""
    return f"`{disk.mount}`: {disk.percent}% used, {disk.free}G free"


def disk_values(disk: Disk) -> dict[str, str]:
    """One disk as values."""
    return {"mount": disk.mount, "percent": f"{disk.percent}%", "free": str(disk.free)}


def disks(talk: Talk) -> Finding:
    """The disks."""
    talk.remote("df -h")
    found = sorted(talk.machine.disks, key=lambda disk: -disk.percent)
    talk.at["mount"] = found[0].mount
    tight = found[0].percent >= TIGHT_DISK
    nexts = ("folders", "vacuum") if talk.machine.journal_disk == found[0] else ("folders",)
    return Finding(
        look="disks", state="tight" if tight else "fine", values=disk_values(found[0]), good=not tight,
        points=tuple(disk_point(disk) for disk in found), nexts=nexts if tight else ("memory", "load", "folders"),
        rows=tuple((disk.mount, float(disk.percent), f"{disk.percent}%") for disk in found),
    )  # fmt: skip


def folders(talk: Talk) -> Finding:
    """What fills a mount."""
    mount = talk.at["mount"]
    talk.remote(f"du -xh --max-depth=1 {mount} | sort -rh | head -4")
    disk = next(disk for disk in talk.machine.disks if disk.mount == mount)
    points = [f"`{name}`: {size}G" if size else f"`{name}`: 512M" for name, size in disk.folders]
    name, size = disk.folders[0]
    nexts = ("vacuum",) if talk.machine.journal_disk == disk and disk.percent >= TIGHT_DISK else ("disks", "memory")
    return Finding(
        look="folders", state="found", values={"folder": name, "size": f"{size}G", "mount": mount},
        points=tuple(points), nexts=nexts, good=disk.percent < TIGHT_DISK,
    )  # fmt: skip


def memory(talk: Talk) -> Finding:
    """The memory."""
    talk.remote("free -m")
    one = talk.machine
    tight = one.memory_percent >= TIGHT_MEMORY
    return Finding(
        look="memory", state="tight" if tight else "fine", values=memory_values(one), good=not tight,
        nexts=("top_mem",) if tight else ("disks", "load"),
    )  # fmt: skip


def memory_values(one: Machine) -> dict[str, str]:
    """The memory as values."""
    free = str(one.memory - one.memory_used)
    return {"total": str(one.memory), "used": str(one.memory_used), "free": free}


def load(talk: Talk) -> Finding:
    """The load, held against the cores."""
    talk.remote("uptime", "nproc")
    one = talk.machine
    busy = one.load[0] >= 0.7 * one.cores
    values = {"load": f"{one.load[0]:.2f}", "cores": str(one.cores)}
    return Finding(
        look="load", state="busy" if busy else "quiet", values=values, good=not busy,
        nexts=("top_cpu",) if busy else ("memory", "disks"),
    )  # fmt: skip


def top(talk: Talk, by: str) -> Finding:
    """The processes by cpu or memory."""
    lines = talk.rng.choice((3, 4, 5))
    talk.remote(TOP.format(by=by, lines=lines))
    found = sorted(talk.machine.processes, key=lambda one: -(one.cpu if by == "cpu" else one.memory))[: lines - 1]
    first = found[0]
    hog = first.cpu >= HOG_CPU if by == "cpu" else first.memory >= HOG_MEMORY
    remember(talk, first)
    values = {"process": first.name, "pid": str(first.pid), "cpu": f"{first.cpu}", "memory": f"{first.memory}"}
    kind = "CPU" if by == "cpu" else "memory"
    share = [(one, one.cpu if by == "cpu" else one.memory) for one in found]
    return Finding(
        look=f"top_{'cpu' if by == 'cpu' else 'mem'}", state="hog" if hog else "calm", values=values, good=not hog,
        points=tuple(f"`{one.name}` (pid {one.pid}): {figure}% {kind}" for one, figure in share),
        rows=tuple((one.name, figure, f"{figure}%") for one, figure in share),
        nexts=next_of(talk.machine, first) if hog else ("memory", "load", "disks"),
    )  # fmt: skip


def remember(talk: Talk, process: Process) -> None:
    """From here on this process is the one that is talked about."""
    talk.at |= {"process": process.name, "pid": str(process.pid)}
    if talk.machine.service(process.name):
        talk.at["service"] = process.name


def next_of(machine: Machine, process: Process) -> tuple[str, ...]:
    """What to do about a hungry process: a service is restarted, anything else stopped."""
    return ("log", "restart") if machine.service(process.name) else ("kill",)


def top_cpu(talk: Talk) -> Finding:
    """The processes by cpu."""
    return top(talk, "cpu")


def top_mem(talk: Talk) -> Finding:
    """The processes by memory."""
    return top(talk, "mem")


def status(talk: Talk) -> Finding:
    """A service's state."""
    talk.remote(f"systemctl status {talk.at['service']}")
    one = talk.machine.service(talk.at["service"])
    assert one is not None
    nexts = ("log", "errors") if one.state == "active" else ("log",)
    if one.state == "failed" and one.next_look == "restart":
        nexts = ("log", "restart")
    return Finding(
        look="status", state=one.state, values={"since": one.since}, nexts=nexts, good=one.state == "active",
    )  # fmt: skip


def log(talk: Talk) -> Finding:
    """A service's newest journal lines."""
    one = talk.machine.service(talk.at["service"])
    assert one is not None
    lines = talk.rng.choice((3, 4, 5)) if one.cause else talk.rng.choice((2, 3))
    talk.remote(f"journalctl -u {one.name} -n {lines} --no-pager")
    if not one.cause:
        past = any("ERROR" in line for line in one.log[-lines:])
        values = {"newest": one.log[-1][9:]}
        return Finding(look="log", state="past" if past else "calm", values=values, nexts=("status", "errors"))
    says = str(material()["causes"][one.cause]["says"])
    values = {"since": one.since, "says": says}
    return Finding(look="log", state="cause", values=values, nexts=(one.next_look,), good=False)


def errors(talk: Talk) -> Finding:
    """How many errors a service's log holds."""
    talk.remote(f"grep -c ERROR /var/log/{talk.at['service']}.log")
    one = talk.machine.service(talk.at["service"])
    assert one is not None
    state = "none" if not one.errors else "many" if one.errors >= MANY_ERRORS else "some"
    return Finding(
        look="errors", state=state, values={"count": str(one.errors)}, nexts=("log", "status"), good=state != "many",
    )  # fmt: skip


def switch(talk: Talk, verb: str) -> Finding:
    """A service restarted or stopped, and asked afterwards how it is."""
    service = talk.at["service"]
    talk.remote(f"systemctl {verb} {service}")
    talk.remote(f"systemctl is-active {service}")
    return Finding(
        look=verb, state="done", values={}, nexts=("status", "log") if verb == "restart" else ("failed_all",)
    )


def restart(talk: Talk) -> Finding:
    """A restart."""
    return switch(talk, "restart")


def stop(talk: Talk) -> Finding:
    """A stop."""
    return switch(talk, "stop")


def settings(talk: Talk) -> Finding:
    """The application's settings."""
    talk.remote(f"cat /etc/{talk.at['app']}.conf")
    found = talk.machine.settings
    talk.at["key"] = found[0][0]
    return Finding(
        look="settings", state="found", values={"key": found[0][0], "value": found[0][1]},
        points=tuple(f"`{key}`: `{value}`" for key, value in found), nexts=("setting_gap", "setting_all"),
    )  # fmt: skip


def version(talk: Talk) -> Finding:
    """The version that is deployed."""
    talk.remote(f"cat /opt/{talk.at['app']}/VERSION")
    return Finding(
        look="version", state="found", values={"version": talk.machine.version}, nexts=("versions_all", "version_gap")
    )


def vacuum(talk: Talk) -> Finding:
    """Old journals dropped, and the disks looked at again."""
    text = talk.remote("journalctl --vacuum-size=500M")[0]
    talk.remote("df -h")
    disk = talk.machine.journal_disk
    freed = text.split("freed ")[1].split("G")[0]
    talk.at["mount"] = disk.mount
    return Finding(
        look="vacuum", state="done", values={"freed": freed, **disk_values(disk)}, nexts=("folders", "disks")
    )


def kill(talk: Talk) -> Finding:
    """A process ended, and the processes looked at again."""
    gone = {"process": talk.at["process"], "pid": talk.at["pid"]}
    talk.remote(f"kill {gone['pid']}")
    talk.remote(TOP.format(by="cpu", lines=3))
    now = max(talk.machine.processes, key=lambda one: one.cpu)
    return Finding(
        look="kill", state="done", values={**gone, "next": now.name, "cpu": f"{now.cpu}"}, nexts=("load", "memory")
    )


def diagnose(talk: Talk) -> Finding:
    """The four usual suspects in one message; the first that is guilty is the finding, the others are named with it."""
    talk.remote(TOP.format(by="cpu", lines=3), "free -m", "df -h", "systemctl --failed --no-legend")
    one = talk.machine
    by_cpu = max(one.processes, key=lambda process: process.cpu)
    fullest = max(one.disks, key=lambda disk: disk.percent)
    failed = [service.name for service in one.services if service.state == "failed"]
    values = {**disk_values(fullest), "left": str(fullest.free), **memory_values(one)}
    values |= {"process": by_cpu.name, "pid": str(by_cpu.pid), "cpu": f"{by_cpu.cpu}"}
    talk.at["mount"] = fullest.mount
    guilty: dict[str, tuple[str, tuple[str, ...]]] = {}
    if by_cpu.cpu >= HOG_CPU:
        guilty["cpu"] = (f"`{by_cpu.name}` is at {by_cpu.cpu}% CPU", next_of(one, by_cpu))
    if one.memory_percent >= TIGHT_MEMORY:
        guilty["memory"] = (f"only {values['free']} MB of memory are free", ("top_mem",))
    if fullest.percent >= TIGHT_DISK:
        guilty["disk"] = (f"`{fullest.mount}` is at {fullest.percent}%", ("folders",))
    guilty |= {f"service {name}": (f"`{name}` has failed", ("log",)) for name in failed}
    first, *others = [*guilty, "none"]
    state = first.split()[0]
    if state == "cpu":
        remember(talk, by_cpu)
    elif failed:
        talk.at["service"] = failed[0]
    values["also"] = "".join(f", and {guilty[other][0]}" for other in others if other in guilty)
    nexts = guilty[first][1] if first in guilty else ("load",)
    return Finding(look="diagnose", state=state, values=values, nexts=nexts, good=state == "none")


def offline_host(talk: Talk) -> Finding:
    """A machine that cannot be reached."""
    talk.remote(ASKED_FOR[talk.at["wanted"]])
    return Finding(look="offline_host", state="found", values={}, nexts=("roles", "failed_all"), good=False)


def unknown_host(talk: Talk) -> Finding:
    """A machine that is not there: the call says so, and the list says which are."""
    wrong = talk.at["host"]
    talk.remote(ASKED_FOR[talk.at["wanted"]])
    talk.act(made("list_agents"))
    names = [one.id for one in talk.fleet.machines]
    return Finding(look="unknown_host", state="found", values={"wrong": wrong, "hosts": listed(names)}, good=False)
