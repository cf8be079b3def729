"""Buckets and bars. The expected lines are bpftrace's own."""

from __future__ import annotations

from kloupe.base.ctype import Histogram
from kloupe.output.histogram import bars, bucket_label, buckets
from kloupe.output.jsonl import histogram_json

FULL, HALF, NONE = "@" * 52, "@" * 26 + " " * 26, " " * 52


def labels(t, used):
    return [bucket_label(row) for row in buckets(t, dict.fromkeys(used, 1))]


def test_hist_from_first_to_last_bucket():
    rows = buckets(Histogram("hist"), {0: 1, 1: 1, 2: 1, 3: 2, 11: 1})
    lines = bars(rows).splitlines()
    assert lines[0] == f"(..., 0)               1 |{HALF}|"
    assert lines[1] == f"[0]                    1 |{HALF}|"
    assert lines[3] == f"[2, 4)                 2 |{FULL}|"
    assert lines[4] == f"[4, 8)                 0 |{NONE}|"
    assert lines[-1] == f"[512, 1K)              1 |{HALF}|"
    assert len(lines) == 12


def test_hist_suffixes():
    assert labels(Histogram("hist"), [12, 21, 22])[:1] == ["[1K, 2K)"]
    assert labels(Histogram("hist"), [22]) == ["[1M, 2M)"]
    assert labels(Histogram("hist"), [64]) == ["[4E, 8E)"]


def test_hist_with_bits():
    # k = 1: single values below 4, then two buckets per power of two; the suffix follows the bucket's power
    assert labels(Histogram("hist", bits=1), range(1, 8)) == ["[0]", "[1]", "[2]", "[3]", "[4, 6)", "[6, 8)", "[8, 12)"]
    texts = labels(Histogram("hist", bits=1), range(20, 44))
    assert texts[:3] == ["[768, 1024)", "[1024, 1536)", "[1536, 2K)"]
    assert "[1024K, 1536K)" in texts and "[1536K, 2M)" in texts


def test_lhist():
    t = Histogram("lhist", minimum=0, maximum=20, step=5)
    assert labels(t, range(6)) == ["(..., 0)", "[0, 5)", "[5, 10)", "[10, 15)", "[15, 20)", "[20, ...)"]
    assert labels(Histogram("lhist", minimum=0, maximum=10, step=3), [4]) == ["[9, ...)"]
    assert labels(Histogram("lhist", minimum=0, maximum=9, step=1), [3]) == ["[2]"]
    kilo = Histogram("lhist", minimum=0, maximum=1 << 21, step=1024)
    assert labels(kilo, [1, 2, 1024, 1025])[0] == "[0, 1K)"
    assert labels(kilo, [1024]) == ["[1023K, 1M)"]


def test_div_and_nothing():
    assert [row.count for row in buckets(Histogram("hist"), {3: 9}, 2)] == [4]
    assert [row.count for row in buckets(Histogram("lhist", maximum=9), {3: 9}, 2)] == [9]
    assert buckets(Histogram("hist"), {3: 0}) == [] and bars([]) == ""


def test_json():
    assert histogram_json(Histogram("hist"), {0: 1, 1: 1, 3: 2}) == (
        '[{"max": -1, "count": 1},{"min": 0, "max": 0, "count": 1},{"min": 1, "max": 1, "count": 0},'
        '{"min": 2, "max": 3, "count": 2}]'
    )
    t = Histogram("lhist", minimum=0, maximum=10, step=2)
    assert histogram_json(t, {0: 1, 6: 1}).endswith('{"min": 8, "max": 9, "count": 0},{"min": 10, "count": 1}]')
