"""How many tasks a comparison needs: to find a true difference, and for a guard to show that nothing is lost."""

from __future__ import annotations

import math
from statistics import NormalDist

from kt_lib.records import PairedTable
from kt_lib.statistics import Z, discordance, noninferiority_power, tasks_needed


def superiority_needed(difference: float, discordance: float, power: float = 0.8) -> int:
    """Paired tasks to find a true `difference` at two-sided 5% (Connor 1987)."""
    if not 0 < abs(difference) <= discordance <= 1:
        raise ValueError(f"a difference of {difference} needs at least that share of discordant tasks")
    spread = Z * math.sqrt(discordance) + NormalDist().inv_cdf(power) * math.sqrt(discordance - difference**2)
    return math.ceil((spread / difference) ** 2)


def superiority_power(n: int, difference: float, discordance: float) -> float:
    """The chance that `n` paired tasks find a true `difference` at two-sided 5% (Connor 1987)."""
    if not 0 < abs(difference) <= discordance <= 1:
        raise ValueError(f"a difference of {difference} needs at least that share of discordant tasks")
    deviation = math.sqrt(discordance - difference**2)
    gap = abs(difference) * math.sqrt(n) - Z * math.sqrt(discordance)
    return NormalDist().cdf(gap / deviation) if deviation else float(gap > 0)


def unpaired_needed(first: float, second: float, power: float = 0.8) -> int:
    """Tasks per arm to tell two rates apart where the arms see different tasks, at two-sided 5% (Fleiss 1981)."""
    if first == second:
        raise ValueError("equal rates cannot be told apart")
    middle = (first + second) / 2
    spread = Z * math.sqrt(2 * middle * (1 - middle))
    spread += NormalDist().inv_cdf(power) * math.sqrt(first * (1 - first) + second * (1 - second))
    return math.ceil((spread / (first - second)) ** 2)


# --- a guard of these tasks ------------------------------------------------------------------------------------------


def guard_power(table: PairedTable, margin: float) -> float:
    """The chance, 0..1, that a guard passes when nothing is lost: exact, at its n, discordance and share solved."""
    return noninferiority_power(table.n, discordance(table), margin, rate=_solved(table)) if table.n else 0.0


def guard_needs(table: PairedTable, margin: float, power: float = 0.8) -> int:
    """Tasks that give a guard this power, by the same reckoning: more than it has wherever it has less power.

    A discordance under .01 counts as .01: so few tasks that differ tell little of how many would.
    """
    too_few = table.n if guard_power(table, margin) < power else 0
    return tasks_needed(max(discordance(table), 0.01), margin, power, _solved(table), more_than=too_few)


def _solved(table: PairedTable) -> float | None:
    """The share of the tasks on which the sides agree that both solve; None where they agree on none."""
    alike = table.both + table.neither
    return table.both / alike if alike else None
