"""Ranges: what tuning searches of one setting, and how a range is widened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, inf, log

MARGIN = 0.1  # the share of a range at either end that counts as its edge


@dataclass(frozen=True)
class Range:
    """The values from ``low`` to ``high`` that tuning tries.

    ``least`` and ``most`` are the limits of the setting itself. A range ends there for good, so an
    optimum at a limit is no sign that the range is too narrow.
    """

    low: float
    high: float
    logarithmic: bool
    least: float = -inf
    most: float = inf

    def place(self, value: float) -> float:
        """Where a value lies: 0 at the lower end, 1 at the upper one."""
        low, high, value = (log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)

    def edge(self, value: float) -> str | None:
        """At which end a value lies, "low" or "high", within `MARGIN`; None for neither."""
        place = self.place(value)
        if place < MARGIN and self.low > self.least:
            return "low"
        return "high" if place > 1 - MARGIN and self.high < self.most else None

    def widened(self, value: float) -> Range:
        """The range with half of its length added at the end at which a value lies."""
        end = self.edge(value)
        if self.logarithmic:
            more = exp(0.5 * log(self.high / self.low))
            low, high = self.low / more, self.high * more
        else:
            more = 0.5 * (self.high - self.low)
            low, high = self.low - more, self.high + more
        if end == "low":
            return replace(self, low=max(self.least, low))
        return replace(self, high=min(self.most, high)) if end == "high" else self


def decades(low: float, high: float, least: float = 0.0, most: float = inf) -> Range:
    """A range of a setting whose orders of magnitude matter."""
    return Range(low, high, True, least, most)


def whole(low: int, high: int) -> Range:
    """A range of a setting that is one of a few whole numbers, and cannot be another."""
    return Range(low, high, False, low, high)


def share(low: float = 0.0, high: float = 1.0) -> Range:
    """A range of a setting that is a fraction."""
    return Range(low, high, False, 0.0, 1.0)
