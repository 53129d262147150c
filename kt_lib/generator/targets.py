"""What a look is aimed at: the machine, the service, the process; with a liking for what is interesting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kt_lib.generator.fleet import Machine, Service, material
from kt_lib.generator.looks_machine import HOG_CPU, HOG_MEMORY, TIGHT_DISK, TIGHT_MEMORY
from kt_lib.generator.scenarios import EVERYWHERE, HERE, LOCAL, LOOKS, OF_A_SERVICE, ON_A_MACHINE, UNREACHED
from kt_lib.generator.talk import Talk
from kt_lib.generator.wording import words
from kt_lib.world.names import make

INTERESTING = 0.6


def hot(one: Machine) -> bool:
    """A process runs away with the CPU."""
    return any(process.cpu >= HOG_CPU for process in one.processes)


def short(one: Machine) -> bool:
    """The memory is nearly used up, by one process."""
    return one.memory_percent >= TIGHT_MEMORY and any(process.memory >= HOG_MEMORY for process in one.processes)


def full(one: Machine) -> bool:
    """A disk is nearly full."""
    return any(disk.percent >= TIGHT_DISK for disk in one.disks)


def full_of_logs(one: Machine) -> bool:
    """The disk that is nearly full, and no other, is the one that holds the journal."""
    fullest = max(one.disks, key=lambda disk: disk.percent)
    return full(one) and fullest == one.journal_disk


def down(one: Machine) -> bool:
    """A service has failed."""
    return any(service.state == "failed" for service in one.services)


def curable(service: Service) -> bool:
    """It has failed, and a restart helps."""
    return service.state == "failed" and service.next_look == "restart"


def down_for_now(one: Machine) -> bool:
    """A service has failed for a reason that a restart cures."""
    return any(curable(service) for service in one.services)


FAULTS: dict[str, Callable[[Machine], bool]] = {
    **dict.fromkeys(("disks", "folders", "vacuum"), full),
    **dict.fromkeys(("memory", "top_mem"), short),
    **dict.fromkeys(("load", "top_cpu"), hot),
    **dict.fromkeys(("status", "log", "errors", "restart"), down),
    "diagnose": lambda one: hot(one) or short(one) or full(one) or down(one),
}
"""What makes a machine interesting for a look."""


def aim(talk: Talk, look: str) -> None:
    """Chooses what the look is about where that is not settled yet."""
    rng, at = talk.rng, talk.at
    if look in ON_A_MACHINE or look == "compare":
        if "host" not in at:
            at["host"] = chosen(talk, talk.fleet.online, FAULTS.get(look)).id
        if look in UNREACHED:
            at["wanted"] = rng.choice(("load", "disks", "memory"))
        if look == "offline_host":
            talk.fleet = talk.fleet.with_machine(talk.machine.model_copy(update={"online": False}))
        if look == "unknown_host":
            while talk.fleet.machine(at["host"]):
                at["host"] = make("host", rng, False)
            return
        at["job"] = talk.machine.job
    if look in OF_A_SERVICE:
        aim_at_service(talk, look)
    if look == "folders" and "mount" not in at:
        at["mount"] = max(talk.machine.disks, key=lambda disk: disk.percent).mount
    if look in ("where_runs", "kill") and "process" not in at:
        at["process"] = rng.choice([process.name for one in talk.fleet.machines for process in one.processes])
        if rng.random() < 0.3:
            at["process"] = rng.choice(material()["processes"])
    if look == "setting_all" and "key" not in at:
        at["key"] = rng.choice(talk.fleet.machines[0].settings)[0]
    if look == "compare":
        at["other"] = rng.choice([one.id for one in talk.fleet.online if one.id != at["host"]])


def aim_at_service(talk: Talk, look: str) -> None:
    """A service that this machine has; rather a failed one, but only one that runs is stopped."""
    known = talk.machine.service(talk.at.get("service", ""))
    if known and (look != "stop" or known.state == "active"):
        return
    services = list(talk.machine.services)
    failed = [one for one in services if one.state == "failed"]
    if look in ("stop", "restart"):
        services = [one for one in services if one.name != "sshd" and (one.state == "active" or curable(one))]
        failed = [one for one in services if one.state == "failed"]
    if look == "stop":
        services = [one for one in services if one.state == "active"]
    elif failed and talk.rng.random() < INTERESTING:
        services = failed
    talk.at["service"] = talk.rng.choice(services).name


def chosen(talk: Talk, machines: Sequence[Machine], wanted: Callable[[Machine], bool] | None) -> Machine:
    """A machine, mostly one with what is wanted."""
    fitting = [one for one in machines if wanted and wanted(one)]
    if fitting and talk.rng.random() < INTERESTING:
        return talk.rng.choice(fitting)
    return talk.rng.choice(machines)


def place(talk: Talk, look: str) -> str:
    """Where the look looks, in the user's words."""
    if look in LOCAL and look not in ("setting_gap", "test_restart"):
        return talk.rng.choice(HERE)
    return f"on {talk.at['host']}" if look in ON_A_MACHINE else talk.rng.choice(EVERYWHERE)


def can_follow(talk: Talk, look: str) -> bool:
    """Whether the talk knows everything that an offer of the look has to name."""
    return look in LOOKS and all(
        slot in talk.at
        for slot in ("host", "service", "mount", "process", "pid", "key")
        if f"<{slot}>" in offer_of(look)
    )


def offer_of(look: str) -> str:
    """The wording of a look's offer."""
    return str(words("looks")[look]["offer"])
