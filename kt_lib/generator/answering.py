"""What the made-up fleet answers to a tool call: the result's text, and the fleet as the call leaves it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from kt_lib.generator.fleet import Checkout, Disk, Fleet, Machine, Process, Service, clock_time
from kt_lib.records import ToolCall

NO_OUTPUT = "(no output)"
OFFLINE = "error: agent is offline"
Settings = Sequence[tuple[str, str]]


def answer(fleet: Fleet, call: ToolCall) -> tuple[Fleet, str]:
    """The fleet after the call and the text of its result; an unknown agent or command is an error result."""
    command = str(call.arguments.get("command", ""))
    if call.name == "list_agents":
        return fleet, listing(fleet)
    if call.name == "bash":
        return fleet, local(fleet, command)
    if call.name == "remote_bash":
        machine = fleet.machine(str(call.arguments.get("agent_id")))
        if machine is None:
            return fleet, f"error: unknown agent '{call.arguments.get('agent_id')}'"
        if not machine.online:
            return fleet, f"error: agent '{machine.id}' is offline"
        changed, text = remote(fleet, machine, command)
        return fleet.with_machine(changed).model_copy(update={"clock": fleet.clock + 1}), text
    if call.name == "remote_bash_all":
        texts = []
        for machine in fleet.machines:
            changed, text = remote(fleet, machine, command) if machine.online else (machine, OFFLINE)
            fleet = fleet.with_machine(changed)
            texts.append(f"[{machine.id}] {text}" if "\n" not in text else f"[{machine.id}]\n{text}")
        return fleet, "\n".join(texts)
    return fleet, "ok"


def listing(fleet: Fleet) -> str:
    """The agents as list_agents writes them."""
    status = {True: "online", False: "offline"}
    if fleet.lists_as == "json":
        return json.dumps([{"id": one.id, "role": one.job, "status": status[one.online]} for one in fleet.machines])
    return "\n".join(f"{one.id} - {one.job} ({status[one.online]})" for one in fleet.machines)


def remote(fleet: Fleet, machine: Machine, command: str) -> tuple[Machine, str]:
    """What a command prints on a machine, and the machine after it."""
    for pattern, does in _CHANGES:
        if found := pattern.fullmatch(command):
            return does(fleet, machine, *found.groups())
    for pattern, shows in _SHOWS:
        if found := pattern.fullmatch(command):
            return machine, shows(fleet, machine, *found.groups())
    return machine, f"bash: {command.split()[0] if command.split() else command}: command not found"


def disk_table(disks: Sequence[Disk]) -> str:
    """`df -h`."""
    rows = [f"{one.device} {one.size}G {one.used}G {one.free}G {one.percent}% {one.mount}" for one in disks]
    return "\n".join(["Filesystem Size Used Avail Use% Mounted on", *rows])


def disk_line(fleet: Fleet, machine: Machine, mount: str) -> str:
    """`df -h MOUNT | tail -1`."""
    return disk_table([one for one in machine.disks if one.mount == mount]).split("\n")[-1]


def biggest(fleet: Fleet, machine: Machine, mount: str) -> str:
    """`du` of a mount and of the folders right below it, other disks left out."""
    disk = next((one for one in machine.disks if one.mount == mount), None)
    if disk is None:
        return f"du: cannot access '{mount}': No such file or directory"
    return "\n".join(f"{size}G\t{folder}" if size else f"512M\t{folder}" for folder, size in disk.whole_and_folders)


def memory_table(fleet: Fleet, machine: Machine) -> str:
    """`free -m`."""
    return f"       total used free\nMem:   {memory_line(fleet, machine)}\nSwap:  2047 0 2047"


def memory_line(fleet: Fleet, machine: Machine) -> str:
    """Total, used and free megabytes."""
    return f"{machine.memory} {machine.memory_used} {machine.memory - machine.memory_used}"


def uptime(fleet: Fleet, machine: Machine) -> str:
    """`uptime`."""
    load = ", ".join(f"{value:.2f}" for value in machine.load)
    return f"{clock_time(fleet.clock)} up {machine.days} days, load average: {load}"


def process_table(fleet: Fleet, machine: Machine, by: str, lines: str) -> str:
    """`ps` sorted by cpu or memory."""
    rows = sorted(machine.processes, key=lambda one: -(one.cpu if by == "cpu" else one.memory))[: int(lines) - 1]
    return "\n".join(["PID USER %CPU %MEM COMMAND", *(process_row(one) for one in rows)])


def process_row(one: Process) -> str:
    """A row of `ps`."""
    return f"{one.pid} {one.user} {one.cpu} {one.memory} {one.name}"


def process_count(fleet: Fleet, machine: Machine, name: str) -> str:
    """`pgrep -c`."""
    serves = any(one.name == name and one.state == "active" for one in machine.services)
    return str(max(sum(one.name == name for one in machine.processes), serves))


def service_status(fleet: Fleet, machine: Machine, name: str) -> str:
    """`systemctl status`."""
    one = machine.service(name)
    if one is None:
        return f"Unit {name}.service could not be found."
    words = {"active": "active (running)", "failed": "failed (Result: exit-code)", "inactive": "inactive (dead)"}
    main = f"\nMain PID: {one.pid}" if one.state == "active" else ""
    return f"{name}.service\nActive: {words[one.state]} since {one.since}{main}"


def is_active(fleet: Fleet, machine: Machine, name: str) -> str:
    """`systemctl is-active`."""
    one = machine.service(name)
    return one.state if one else "inactive"


def failed_units(fleet: Fleet, machine: Machine) -> str:
    """`systemctl --failed`."""
    failed = [one for one in machine.services if one.state == "failed"]
    return "\n".join(f"{one.name}.service loaded failed failed" for one in failed) or "0 loaded units listed."


def journal(fleet: Fleet, machine: Machine, name: str, lines: str) -> str:
    """`journalctl -u NAME -n LINES`."""
    one = machine.service(name)
    if one is None:
        return "-- No entries --"
    return "\n".join(f"{line[:8]} {name}[{one.pid}]: {line[9:]}" for line in one.log[-int(lines) :])


def error_count(fleet: Fleet, machine: Machine, name: str) -> str:
    """`grep -c ERROR` of a service's log file."""
    one = machine.service(name)
    return str(one.errors) if one else f"grep: /var/log/{name}.log: No such file or directory"


def settings_text(settings: Settings) -> str:
    """A settings file."""
    return "\n".join(f"{key} = {value}" for key, value in settings)


def setting(fleet: Fleet, machine: Machine, key: str, app: str) -> str:
    """`grep KEY` of the settings file."""
    return settings_text([one for one in machine.settings if one[0] == key]) or NO_OUTPUT


def local(fleet: Fleet, command: str) -> str:
    """What a command prints in the local checkout."""
    for pattern, shows in _LOCAL:
        if found := pattern.fullmatch(command):
            return shows(fleet.checkout, *found.groups())
    return f"bash: {command.split()[0] if command.split() else command}: command not found"


def test_report(checkout: Checkout) -> str:
    """`pytest -q`."""
    failed = "\n".join(f"FAILED {name}" for name in checkout.failing)
    passed = f"{checkout.tests - len(checkout.failing)} passed"
    return f"{failed}\n{len(checkout.failing)} failed, {passed}" if failed else passed


def restart(fleet: Fleet, machine: Machine, verb: str, name: str) -> tuple[Machine, str]:
    """`systemctl restart`, `start`, `stop`: afterwards the service is active, or inactive."""
    one = machine.service(name)
    if one is None:
        return machine, f"Failed to {verb} {name}.service: Unit {name}.service not found."
    state = "inactive" if verb == "stop" else "active"
    line = f"{clock_time(fleet.clock)}:07 {'Stopped' if verb == 'stop' else 'Started'} {name}."
    pid = one.pid if verb == "stop" else one.pid + 4211
    after = one.model_copy(
        update={"state": state, "since": clock_time(fleet.clock), "pid": pid, "log": (*one.log, line), "cause": ""}
    )
    return with_service(machine, after), NO_OUTPUT


def with_service(machine: Machine, service: Service) -> Machine:
    """The machine with one service changed."""
    services = tuple(service if one.name == service.name else one for one in machine.services)
    old = next((one for one in machine.processes if one.name == service.name), None)
    machine = machine.model_copy(update={"services": services})
    if old is None:
        return machine
    machine = without_process(machine, old)
    if service.state != "active":
        return machine
    fresh = old.model_copy(update={"pid": service.pid, "cpu": min(old.cpu, 1.3), "memory": min(old.memory, 2.1)})
    return machine.model_copy(update={"processes": (*machine.processes, fresh)})


def without_process(machine: Machine, gone: Process) -> Machine:
    """The machine without a process, and without its share of the load and the memory."""
    rest = tuple(one for one in machine.processes if one.pid != gone.pid)
    now = max(0.02, round(machine.load[0] - gone.cpu / 100, 2))
    freed = max(0, min(int(machine.memory * gone.memory / 100), machine.memory_used - 200))
    update = {"processes": rest, "load": (now, *machine.load[1:]), "memory_used": machine.memory_used - freed}
    return machine.model_copy(update=update)


def kill(fleet: Fleet, machine: Machine, pid: str) -> tuple[Machine, str]:
    """`kill`: the process is gone, and so is its share of the load and the memory."""
    gone = next((one for one in machine.processes if one.pid == int(pid)), None)
    if gone is None:
        return machine, f"kill: ({pid}) - No such process"
    return without_process(machine, gone), NO_OUTPUT


def vacuum(fleet: Fleet, machine: Machine) -> tuple[Machine, str]:
    """`journalctl --vacuum-size=500M`: all archived journals but the newest 500 MB are gone."""
    held, freed = machine.journal_disk, machine.journal
    left = [(name, size - freed if name == held.log_folder else size) for name, size in held.folders]
    folders = tuple(sorted(left, key=lambda one: -one[1]))
    after = held.model_copy(update={"used": held.used - freed, "folders": folders})
    disks = tuple(after if one.mount == held.mount else one for one in machine.disks)
    said = f"Vacuuming done, freed {f'{freed}G' if freed else '0B'} of archived journals."
    return machine.model_copy(update={"disks": disks, "journal": 0}), said


_NAME = r"([\w.@-]+)"
_SHOWS: list[tuple[re.Pattern[str], Callable[..., str]]] = [
    (re.compile(r"df -h"), lambda fleet, machine: disk_table(machine.disks)),
    (re.compile(r"df -h (/\w*) \| tail -1"), disk_line),
    (re.compile(r"du -xh --max-depth=1 (/\w*) \| sort -rh \| head -4"), biggest),
    (re.compile(r"free -m"), memory_table),
    (re.compile(r"free -m \| awk '/Mem/\{print \$2, \$3, \$4\}'"), memory_line),
    (re.compile(r"uptime"), uptime),
    (re.compile(r"ps -eo pid,user,%cpu,%mem,comm --sort=-%(cpu|mem) \| head -(\d+)"), process_table),
    (re.compile(rf"pgrep -c {_NAME}"), process_count),
    (re.compile(rf"systemctl status {_NAME}"), service_status),
    (re.compile(rf"systemctl is-active {_NAME}"), is_active),
    (re.compile(r"systemctl --failed --no-legend"), failed_units),
    (re.compile(rf"journalctl -u {_NAME} -n (\d+) --no-pager"), journal),
    (re.compile(rf"grep -c ERROR /var/log/{_NAME}\.log"), error_count),
    (re.compile(rf"cat /etc/{_NAME}\.conf"), lambda fleet, machine, app: settings_text(machine.settings)),
    (re.compile(rf"grep {_NAME} /etc/{_NAME}\.conf"), setting),
    (re.compile(rf"cat /opt/{_NAME}/VERSION"), lambda fleet, machine, app: machine.version),
    (re.compile(r"nproc"), lambda fleet, machine: str(machine.cores)),
]
_CHANGES: list[tuple[re.Pattern[str], Callable[..., tuple[Machine, str]]]] = [
    (re.compile(rf"systemctl (restart|start|stop) {_NAME}"), restart),
    (re.compile(r"kill (\d+)"), kill),
    (re.compile(r"journalctl --vacuum-size=500M"), vacuum),
]
_LOCAL: list[tuple[re.Pattern[str], Callable[..., str]]] = [
    (re.compile(r"git status -s"), lambda here: "\n".join(f" M {name}" for name in here.changed) or NO_OUTPUT),
    (re.compile(r"git branch --show-current"), lambda here: here.branch),
    (re.compile(r"git log --oneline -3"), lambda here: "\n".join(" ".join(one) for one in here.commits)),
    (re.compile(r"wc -l \*\.py"), lambda here: line_counts(here)),
    (re.compile(r"grep -n TODO \*\.py"), lambda here: todo_lines(here)),
    (re.compile(r"pytest -q"), test_report),
    (re.compile(r"cat VERSION"), lambda here: here.version),
    (re.compile(rf"cat {_NAME}\.conf"), lambda here, app: settings_text(here.settings)),
    (re.compile(r"pwd"), lambda here: here.folder),
]


def line_counts(here: Checkout) -> str:
    """`wc -l`."""
    total = sum(count for _, count in here.lines)
    return "\n".join([*(f"{count} {name}" for name, count in here.lines), f"{total} total"])


def todo_lines(here: Checkout) -> str:
    """`grep -n TODO`."""
    return "\n".join(f"{name}:{line}: # TODO {text}" for name, line, text in here.todos) or NO_OUTPUT
