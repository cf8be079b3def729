"""Time stamps as text. Records come in order of time, so all but the last three digits is made once for many of them."""

from __future__ import annotations

FOREVER_NS = 1 << 80
DIGITS = [f"{number:03d}" for number in range(1000)]


class Clock:
    """Shows records from `first_ns` to `last_ns` (None: no end), times as records have them; `offset_ns` is added for the text."""

    def __init__(self, offset_ns: int, nanoseconds: bool, first_ns: int, last_ns: int | None) -> None:
        self.unit_ns = 1 if nanoseconds else 1000
        self._digits = 6 if nanoseconds else 3  # of a second, before the last three
        self._add_ns = offset_ns if nanoseconds else offset_ns + 500  # microseconds are rounded
        self._first_ns = first_ns
        self._last_ns = FOREVER_NS if last_ns is None else last_ns

    def span(self, time_ns: int) -> tuple[str, int, int, bool]:
        """(text, base, limit, whether it is hidden) of the span that a time lies in: of records from `time_ns` on and before `limit` the
        time stamp is `text` and DIGITS[(time - base) // unit_ns]."""
        length_ns = 1000 * self.unit_ns
        number = (time_ns + self._add_ns) // length_ns
        base_ns = number * length_ns - self._add_ns
        if time_ns < self._first_ns:
            return "", base_ns, self._first_ns, True
        if time_ns > self._last_ns:
            return "", base_ns, FOREVER_NS, True
        second, rest = divmod(number, 10**self._digits)
        return f"{second:5d}.{rest:0{self._digits}d}", base_ns, min(base_ns + length_ns, self._last_ns + 1), False
