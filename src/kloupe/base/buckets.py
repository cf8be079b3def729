"""Histogram buckets: how they are numbered. Codegen computes the number, output turns it back into bounds.

hist with `bits` k: bucket 0 holds negative values, then one bucket per value below 2^(k+1), then 2^k buckets per power of two.
lhist: bucket 0 is below `minimum`, then one per full step, and the last holds everything from the end of the last full step.
"""

from __future__ import annotations

from .ctype import Histogram


def bucket_count(t: Histogram) -> int:
    """How many buckets a histogram of this type has."""
    if t.kind == "lhist":
        return linear_steps(t) + 2
    return 1 + (2 << t.bits) + ((63 - t.bits) << t.bits)


def linear_steps(t: Histogram) -> int:
    """Number of full steps of an lhist."""
    return (t.maximum - t.minimum) // t.step


def bucket_bounds(t: Histogram, index: int) -> tuple[int | None, int | None]:
    """The bucket's bounds [low, high); None is unbounded. hist's single-value buckets have high = low + 1."""
    if t.kind == "lhist":
        low = None if index == 0 else t.minimum + (index - 1) * t.step
        high = None if index == linear_steps(t) + 1 else t.minimum + index * t.step
        return low, high
    if index == 0:
        return None, 0
    singles = 2 << t.bits
    if index <= singles:
        return index - 1, index
    power, part = divmod(index - 1 - singles, 1 << t.bits)
    width = 1 << (power + 1)
    low = (1 << (power + 1 + t.bits)) + part * width
    return low, low + width
