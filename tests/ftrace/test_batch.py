"""Batches hold what the plain reader of pages gives; runs come in the order of time."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from made_trace import Maker

from kloupe.base.errors import FormatError
from kloupe.ftrace.batch import Batch, merge_batches, read_batch
from kloupe.ftrace.ringpage import read_page


@given(st.binary(min_size=0, max_size=300), st.sampled_from("<>"), st.sampled_from([4, 8]), st.integers(0, 320))
@settings(max_examples=400, deadline=None)
def test_any_bytes_as_a_page(content, order, long_bytes, commit):
    head = (5).to_bytes(8, "little" if order == "<" else "big") + commit.to_bytes(
        long_bytes, "little" if order == "<" else "big"
    )
    page = head + content
    batch = read_batch(page, order, long_bytes)
    assert len(batch.times_ns) == len(batch.offsets) == len(batch.sizes)
    found = [(t, page[o : o + s]) for t, o, s in zip(batch.times_ns, batch.offsets, batch.sizes, strict=True)]
    plain = []
    try:
        plain.extend(read_page(page, order, long_bytes))
        assert found == plain
    except FormatError:
        assert batch.problem


def test_runs_are_in_order():
    chance = random.Random(2)
    maker = Maker()
    cpus, everything = [], []
    for cpu in range(5):
        times = sorted(chance.sample(range(10_000), 200))
        everything += [(t, cpu) for t in times]
        pages = maker.pages([(t, maker.wake(1, 0, "x")) for t in times])
        cpus.append((cpu, iter([read_batch(page, "<", 8) for page in pages])))
    windows = list(merge_batches(cpus))
    found = [(time_ns, window.cpus[slot]) for window in windows for _, slot, _, _, time_ns in window.records]
    assert found == sorted(everything)
    assert all(window.records for window in windows)
    for window in windows:
        for _, slot, offset, size, _ in window.records:
            assert window.pages[slot][offset : offset + 2] == (301).to_bytes(2, "little") and size == 24


def test_equal_times_go_by_cpu():
    def batch(*times: int) -> Batch:
        made = Batch(b"")
        made.times_ns, made.offsets, made.sizes = list(times), [0] * len(times), [0] * len(times)
        return made

    windows = merge_batches([(0, iter([batch(5, 6)])), (1, iter([batch(5, 5), batch(5, 7)]))])
    found = [(time_ns, window.cpus[slot]) for window in windows for _, slot, _, _, time_ns in window.records]
    assert found == [(5, 0), (5, 1), (5, 1), (5, 1), (6, 0), (7, 1)]


def test_a_clock_that_goes_back_does_not_change_the_order_in_a_cpu():
    first, second = Batch(b""), Batch(b"")
    first.times_ns, first.offsets, first.sizes, first.is_ordered = [10, 5, 12], [0, 8, 16], [8] * 3, False
    second.times_ns, second.offsets, second.sizes = [7, 11], [0, 8], [8] * 2
    windows = merge_batches([(0, iter([first])), (1, iter([second]))])
    assert [time_ns for window in windows for *_, time_ns in window.records] == [7, 10, 5, 11, 12]
