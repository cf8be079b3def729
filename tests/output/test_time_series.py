"""Time series: buckets of several CPUs put together, and the chart."""

import struct

from kloupe.base.ctype import TimeSeries
from kloupe.output.names import PlainNames
from kloupe.output.time_series import chart, last_number, merger, series

SECOND = 1_000_000_000


class ClockNames(PlainNames):
    """Times as whole seconds."""

    def timestamp(self, time_ns: int, format: str, clock: int) -> str:
        return f"00:00:{time_ns // SECOND:02}"


def _cell(value: int, weight: int, number: int) -> bytes:
    return struct.pack("<qQQ", value, weight, number)


def test_the_latest_interval_of_a_bucket_counts() -> None:
    cells = [_cell(5, 1, 7), _cell(3, 1, 12), _cell(4, 2, 12), _cell(0, 0, 0)]
    for how, wanted in (("", 4), ("min", 3), ("max", 4), ("sum", 7), ("avg", 2)):
        assert merger(TimeSeries(True, SECOND, 5, how), "<")(cells) == (12, wanted)
    assert merger(TimeSeries(True, SECOND, 5), "<")([_cell(0, 0, 0)]) is None


def test_averages_truncate_toward_zero() -> None:
    assert merger(TimeSeries(True, SECOND, 5, "avg"), "<")([_cell(-7, 2, 1)]) == (1, -3)


def test_a_series_has_only_the_last_intervals_and_shows_gaps() -> None:
    t = TimeSeries(False, 10, 4)
    assert last_number([{1: 1}, {9: 2, 7: 1}]) == 9
    assert series(t, {2: 5, 7: 1, 9: 2}, 9) == [(70, 1), (80, None), (90, 2)]
    assert series(t, {2: 5}, 9) == []


def test_chart() -> None:
    t = TimeSeries(True, SECOND, 4)
    lines = chart(t, [(SECOND, -5), (2 * SECOND, None), (3 * SECOND, 5)], ClockNames()).splitlines()
    assert lines[0] == f"         -5{'5':>51}"
    assert lines[1] == "hh:mm:ss |" + "_" * 51 + "|"
    assert lines[2] == "00:00:01 *" + " " * 25 + "." + " " * 25 + "| -5"
    assert lines[3] == "00:00:02 |" + " " * 25 + "." + " " * 25 + "| -"
    assert lines[4] == "00:00:03 |" + " " * 25 + "." + " " * 25 + "* 5"
    assert lines[5] == "         v" + "_" * 51 + "v"
    assert lines[6] == lines[0]


def test_a_flat_series_is_drawn_in_the_middle_and_none_as_no_data() -> None:
    t = TimeSeries(False, SECOND, 4)
    lines = chart(t, [(SECOND, 9), (2 * SECOND, 9)], ClockNames()).splitlines()
    assert lines[0].split() == ["8", "10"]
    assert lines[2].index("*") == 9 + 26
    assert chart(t, [], ClockNames()) == "<no data>\n"
