"""``tools/bench --against``: what a setting costs, by turns with and without it, in the same minutes.

Machines are noisy, more so from one minute to the next: each round has both, the second round the other way round, and
what counts is the median of the rounds' ratios. How far that can be trusted is told with it: it lies between
``_ratio_from`` and ``_ratio_to`` with 95 % confidence, or, of fewer than six rounds, these are all that was seen.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from imd.client.load.options import Options
from imd.client.load.result import Result

#: Of a result: what is compared; more is worse for all but the rate.
MEASURES = ("server_cpu_us_per_message", "rate_per_s")


@dataclass(kw_only=True)
class Comparison:
    """Finished rounds of two runs each: as configured, and with the settings of ``against``."""

    against: Sequence[tuple[str, str]]
    rounds: Sequence[tuple[Result, Result]]

    @property
    def wrong(self) -> list[str]:
        """Why a run of them is a failure."""
        return [reason for both in self.rounds for result in both for reason in result.wrong]

    @property
    def findings(self) -> list[str]:
        """What was seen in all of them."""
        return [finding for both in self.rounds for result in both for finding in result.findings]

    def as_dict(self) -> dict[str, Any]:
        """The object of --json."""
        told: dict[str, Any] = {"against": dict(self.against), "rounds": len(self.rounds)}
        for name in MEASURES:
            pairs = [(getattr(base, name), getattr(other, name)) for base, other in self.rounds]
            pairs = [(base, other) for base, other in pairs if base and other]
            if pairs:
                told[name] = round(median(base for base, _ in pairs), 2)
                told[f"{name}_against"] = round(median(other for _, other in pairs), 2)
                ratios = sorted(other / base for base, other in pairs)
                least, most = _range_of_median(len(ratios))
                told[f"{name}_ratio"] = round(median(ratios), 4)
                told[f"{name}_ratio_from"] = round(ratios[least], 4)
                told[f"{name}_ratio_to"] = round(ratios[most], 4)
        return told

    def as_json(self) -> str:
        return json.dumps(self.as_dict())

    def as_table(self) -> str:
        """Name and value a line."""
        told = self.as_dict()
        told["against"] = " ".join(f"{name}={value}" for name, value in self.against)
        return "\n".join(f"{name:<40}{value}" for name, value in told.items())


def compare(
    options: Options,
    against: Sequence[tuple[str, str]],
    *,
    rounds: int,
    run: Callable[[Options], Result],
    say: Callable[[str], None],
) -> Comparison:
    """Both by turns, each on a server of its own.

    :raises StartupError: as ``run`` does.
    """
    other = dataclasses.replace(options, settings=(*options.settings, *against))
    done: list[tuple[Result, Result]] = []
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        if number % 2:
            second = run(other)
            done.append((run(options), second))
        else:
            done.append((run(options), run(other)))
    return Comparison(against=against, rounds=done)


def _range_of_median(count: int) -> tuple[int, int]:
    """Between which two of so many sorted values the median of all that could be seen lies, in 95 of 100 cases.

    Each value is above or below it with the chance of a coin, whatever the noise looks like (the sign test).
    """
    outside, chance = 0, 1 / 2**count
    while 2 * chance <= 0.05:
        outside += 1
        chance += math.comb(count, outside) / 2**count
    least = max(0, outside - 1)
    return least, count - 1 - least
