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
    runs = list(merge_batches(cpus))
    found = [(run.batch.times_ns[at], run.cpu) for run in runs for at in range(run.first, run.end)]
    assert found == sorted(everything)
    assert all(run.first < run.end for run in runs)


def test_equal_times_go_by_cpu():
    def batch(*times: int) -> Batch:
        made = Batch(b"")
        made.times_ns, made.offsets, made.sizes = list(times), [0] * len(times), [0] * len(times)
        return made

    runs = merge_batches([(1, iter([batch(5, 5, 7)])), (0, iter([batch(5, 6)]))])
    found = [(run.batch.times_ns[at], run.cpu) for run in runs for at in range(run.first, run.end)]
    assert found == [(5, 0), (5, 1), (5, 1), (6, 0), (7, 1)]
