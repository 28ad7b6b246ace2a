"""Histograms of latencies: log-linear buckets, the same in every language.

Up to 255 ns each value has its own bucket; above, each power of two has 128.

Source: HdrHistogram, with two to three significant digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

SUB_BITS = 7
"""Each power of two has 2**SUB_BITS buckets."""

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 100.0)

Buckets = Iterable[Sequence[int]]
"""Pairs: the lowest value of a bucket, and how many fell into it."""


def width(value: int) -> int:
    """The width of the bucket that `value` is in."""
    return 1 << max(0, value.bit_length() - SUB_BITS - 1)


def lowest(value: int) -> int:
    """The lowest value of the bucket that `value` is in."""
    return value - value % width(value)


@dataclass(slots=True)
class Histogram:
    """Counts by bucket."""

    counts: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, values: npt.NDArray[np.int64]) -> Histogram:
        """The histogram of many values at once; one under 0 counts as 0."""
        positive = np.maximum(values, 0)
        exponents = np.frexp(positive.astype(np.float64))[1].astype(np.int64)
        shifts = np.maximum(exponents - SUB_BITS - 1, 0)
        keys, counts = np.unique((positive >> shifts) << shifts, return_counts=True)
        return cls(dict(zip(keys.tolist(), counts.tolist(), strict=True)))

    def add(self, buckets: Buckets) -> Histogram:
        """Merge what another process counted."""
        for value, count in buckets:
            key = lowest(value)
            self.counts[key] = self.counts.get(key, 0) + count
        return self

    def buckets(self) -> list[tuple[int, int]]:
        """The pairs, lowest first."""
        return sorted(self.counts.items())

    @property
    def total(self) -> int:
        """How many values."""
        return sum(self.counts.values())

    def percentile(self, percent: float) -> int:
        """The highest value of the bucket that the percentile falls into.

        Raises:
            ValueError: the histogram is empty.
        """
        wanted, seen = round(self.total * percent / 100, 6), 0
        for value, count in self.buckets():
            seen += count
            if seen >= wanted:
                return value + width(value) - 1
        raise ValueError("an empty histogram has no percentiles; count something first")

    def summary(self) -> dict[str, int]:
        """The percentiles that a table shows, by name."""
        return {f"p{percent:g}": self.percentile(percent) for percent in PERCENTILES}

    def curve(self, points: int = 12) -> list[tuple[float, int]]:
        """Percentiles for a plot: `points` for each further nine, as far as there are values for it."""
        result, share = [(0.0, self.percentile(0))], 1.0
        while share > 1 / max(self.total, 1):
            share /= 10 ** (1 / points)
            percent = 100 * (1 - share)
            result.append((round(percent, 7), self.percentile(percent)))
        return result
