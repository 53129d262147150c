"""The ten scenarios, and every look by its name with where it looks."""

from __future__ import annotations

from collections.abc import Callable

from kt_lib.generator import looks_fleet, looks_local, looks_machine
from kt_lib.generator.talk import Finding, Talk

SCENARIOS: dict[str, tuple[str, ...]] = {
    "multi-agent health": ("loads_all", "failed_all", "memory_all", "roles"),
    "targeted diagnosis": ("diagnose", "diagnose", "load", "memory", "unknown_host", "offline_host"),
    "disk space": ("disks", "disks", "disks_all", "folders", "vacuum"),
    "process hunting": ("top_cpu", "top_mem", "where_runs"),
    "log investigation": ("log", "log", "errors", "errors_all"),
    "service management": ("status", "restart", "stop"),
    "configuration comparison": ("compare", "setting_all", "settings"),
    "deployment check": ("versions_all", "version"),
    "local workspace": ("changed", "tests", "todos", "lines", "commits"),
    "hybrid workflow": ("version_gap", "setting_gap", "test_restart"),
}
"""Scenario by name, with the looks that it may begin with."""

MACHINE = (
    *("disks", "folders", "memory", "load", "top_cpu", "top_mem", "status", "log", "errors", "restart", "stop"),
    *("settings", "version", "vacuum", "kill", "diagnose", "unknown_host", "offline_host"),
)
FLEET = (
    *("loads_all", "memory_all", "disks_all", "where_runs", "failed_all", "errors_all", "compare", "setting_all"),
    *("versions_all", "roles"),
)
LOCAL = ("changed", "tests", "todos", "lines", "commits", "version_gap", "setting_gap", "test_restart")
LOOKS: dict[str, Callable[[Talk], Finding]] = {
    **{name: getattr(looks_machine, name) for name in MACHINE},
    **{name: getattr(looks_fleet, name) for name in FLEET},
    **{name: getattr(looks_local, name) for name in LOCAL},
}
"""What a look does, by its name."""
ON_A_MACHINE = frozenset((*MACHINE, "setting_gap", "test_restart"))
"""Looks that need a machine to be named."""
OF_A_SERVICE = frozenset(("status", "log", "errors", "restart", "stop"))
"""Looks that need a service to be named."""
UNREACHED = ("unknown_host", "offline_host")
"""Looks at a machine that is not there, in the words of another look."""
NO_NOUN = ("diagnose", "where_runs", "version_gap", "setting_gap")
"""Looks that nobody asks for by a noun, besides the actions."""
ACTIONS = frozenset(("restart", "stop", "vacuum", "kill", "test_restart"))
"""Looks that change something: nobody asks for them by a noun."""
EVERYWHERE = ("across the fleet", "on all agents", "on all machines", "on every machine", "everywhere")
HERE = ("here", "in my checkout", "in the repo", "in this repo", "in my working copy")
