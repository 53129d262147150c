"""A made-up fleet: machines with disks, memory, processes, services, versions and settings, and a local checkout.

A fleet is a value. What a command changes is in the fleet it gives back (see answering.py), so whatever was said once
stays so until something changes it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from kt_lib.records import Record


class Disk(Record):
    """A mounted disk, in whole gigabytes."""

    device: str
    """Device file."""
    mount: str
    """Where it is mounted."""
    size: int
    """Size."""
    used: int
    """Used."""
    folders: tuple[tuple[str, int], ...] = ()
    """The biggest folders below it, biggest first; together not more than what is used."""

    @property
    def percent(self) -> int:
        """How full it is."""
        return round(100 * self.used / self.size)

    @property
    def whole_and_folders(self) -> tuple[tuple[str, int], ...]:
        """The mount itself with all that is used, then its biggest folders."""
        return ((self.mount, self.used), *self.folders)

    @property
    def log_folder(self) -> str:
        """The folder right below the mount in which a journal lies, if this disk holds it."""
        return "/var/log" if self.mount == "/var" else "/var"

    @property
    def free(self) -> int:
        """What is left."""
        return self.size - self.used


class Process(Record):
    """A running process."""

    pid: int
    """Process id."""
    user: str
    """Its user."""
    name: str
    """Command name."""
    cpu: float
    """Percent of one core."""
    memory: float
    """Percent of the memory."""


class Service(Record):
    """A service of a machine."""

    name: str
    """Unit name without `.service`."""
    state: Literal["active", "failed", "inactive"]
    """What systemd says of it."""
    since: str
    """Time of day since when."""
    pid: int
    """Main process id."""
    log: tuple[str, ...]
    """Its newest journal lines (without host and unit), oldest first."""
    errors: int
    """Lines with ERROR in its log file."""
    cause: str = ""
    """Why it failed, a key of fleet.yaml's `causes`; empty where it did not."""

    @property
    def next_look(self) -> str:
        """What to do about the cause."""
        return str(material()["causes"][self.cause]["next"])


class Machine(Record):
    """One agent of the fleet and the machine it runs on."""

    id: str
    """Agent id."""
    job: str
    """What it is for, `database`."""
    cores: int
    """Cores."""
    days: int
    """Days up."""
    load: tuple[float, float, float]
    """Load averages."""
    memory: int
    """Megabytes of memory."""
    memory_used: int
    """Megabytes in use."""
    disks: tuple[Disk, ...]
    """Disks."""
    processes: tuple[Process, ...]
    """The processes worth a look."""
    services: tuple[Service, ...]
    """Services; the first is what the machine is for."""
    version: str
    """Version of the fleet's application deployed here."""
    settings: tuple[tuple[str, str], ...]
    """The application's settings here."""
    journal: int
    """Gigabytes of archived journals beyond the newest 500 MB."""
    online: bool = True
    """Whether the agent can be reached."""

    @property
    def memory_percent(self) -> int:
        """How full the memory is."""
        return round(100 * self.memory_used / self.memory)

    @property
    def journal_disk(self) -> Disk:
        """The disk that holds the journal."""
        return with_journal(self.disks)

    def service(self, name: str) -> Service | None:
        """A service by its name."""
        return next((one for one in self.services if one.name == name), None)


class Checkout(Record):
    """The local workspace: a repository."""

    folder: str
    """Its path."""
    branch: str
    """Branch checked out."""
    changed: tuple[str, ...]
    """Files with uncommitted changes."""
    commits: tuple[tuple[str, str], ...]
    """Newest commits: short hash and subject."""
    lines: tuple[tuple[str, int], ...]
    """Source files with their number of lines."""
    todos: tuple[tuple[str, int, str], ...]
    """TODO comments: file, line, text."""
    tests: int
    """Tests in it."""
    failing: tuple[str, ...]
    """Tests that fail."""
    version: str
    """Content of VERSION."""
    settings: tuple[tuple[str, str], ...]
    """The application's settings as they stand in the repository."""


class Fleet(Record):
    """Everything a conversation is about."""

    app: str
    """The application that is deployed on every machine."""
    machines: tuple[Machine, ...]
    """The agents."""
    checkout: Checkout
    """The local workspace."""
    clock: int
    """Minutes since midnight."""
    lists_as: Literal["lines", "json"]
    """How list_agents writes its result."""

    def machine(self, agent_id: str) -> Machine | None:
        """An agent by its id."""
        return next((one for one in self.machines if one.id == agent_id), None)

    @property
    def online(self) -> tuple[Machine, ...]:
        """The agents that can be reached."""
        return tuple(one for one in self.machines if one.online)

    def with_machine(self, machine: Machine) -> Fleet:
        """The fleet with one machine changed."""
        machines = tuple(machine if one.id == machine.id else one for one in self.machines)
        return self.model_copy(update={"machines": machines})


def with_journal(disks: tuple[Disk, ...]) -> Disk:
    """Of a machine's disks the one that holds the journal: that of /var, or the root disk."""
    return next((one for one in disks if one.mount == "/var"), disks[0])


@cache
def material() -> dict[str, Any]:
    """What fleets are made of."""
    held: dict[str, Any] = yaml.safe_load((files("kt_lib.generator") / "fleet.yaml").read_text(encoding="utf-8"))
    return held


def clock_time(minutes: int) -> str:
    """`14:05`."""
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"
