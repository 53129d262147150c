"""How many tasks a comparison needs to find a true difference (`statistics` has the same for "not worse")."""

from __future__ import annotations

import math
from statistics import NormalDist

from kt_lib.statistics import Z


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
