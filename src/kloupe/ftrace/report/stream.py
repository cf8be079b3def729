"""The lines of one CPU's pages, made when their turn comes: a coroutine that stops whenever another CPU has something earlier; and the
loop in which those of all CPUs take turns.

The hot path of `kloupe ftrace report`: what records share is looked up (lines.py), per record that leaves some look-ups and one f-string.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Generator, Iterable, Iterator, Sequence
from struct import error as StructError

from ..batch import BEYOND, NO_RECORD, PageWords, whole_pages
from .clock import DIGITS, FOREVER_NS
from .lines import LineMaker, missed_line

_PIECE_LINES = 4096
_WRONG = (ArithmeticError, ValueError, LookupError, TypeError, StructError)

# Gives the time of the record at hand (FOREVER_NS at the end). Takes the time up to which to go on, and the one up to which its instance has
# no other record.
CpuLines = Generator[int, tuple[int, int], None]


def cpu_lines(maker: LineMaker, cpu: int, pages: Iterable[bytes], out: list[str]) -> CpuLines:
    """Append the lines of a CPU to `out`."""
    trace, graph, clock, kinds = maker.trace, maker.graph, maker.clock, maker.kinds(cpu)
    leave, leave_id, leave_bytes = graph.leave, graph.leave_id, graph.leave_bytes
    leaves, returned = graph.leaves, graph.returned
    unit_ns, widened = clock.unit_ns, maker.widened if maker.columns else None
    prefix, base_ns, limit_ns, hidden = "", 0, 0, False
    time_ns, missed = 0, 0
    source = _words_of(maker, pages)
    ahead: PageWords | None = None
    while (page := ahead or next(source, None)) is not None:
        if page.time_ns < time_ns:
            maker.need_history()
            limit_ns = 0
        content, heads, words, at, end, time_ns = page.page, page.heads, page.words, page.first, page.end, page.time_ns
        missed, ahead = missed or page.missed, None
        until_ns = alone_ns = -1  # stop at each page, so that what there is gets written
        while at < end:
            head = heads[at]
            count = head & 31
            if 1 < count < 29:  # a plain record of more than a word
                time_ns += head >> 5
                body = at + 1
                at = body + count
                size = count << 2
            else:
                before_ns = time_ns
                time_ns, at, body, size = page.next_record(at, time_ns)
                if time_ns < before_ns:
                    maker.need_history()
                    limit_ns = 0
                if size == NO_RECORD:
                    break
            if at > end:
                break
            if time_ns >= limit_ns:
                prefix, base_ns, limit_ns, hidden = clock.span(time_ns)
            if hidden:
                missed = 0
                continue
            if time_ns > until_ns:
                until_ns, alone_ns = yield time_ns
                if missed:
                    out.append(missed_line(cpu, missed))
                    missed = 0
            if size < 8:
                trace.complain("a record is shorter than the fields that all have")
                continue
            line, needed, starts, entries = kinds[words[body]]
            task = words[body + 1]
            start = starts[task]
            if start is None:
                continue
            offset = body << 2
            if widened is not None:
                start = widened(start, content, offset)
            try:
                if size < needed:
                    raise ValueError(f"the record has {size} of {needed} bytes")
                if entries is None:
                    out.append(line(content, offset, size, cpu, start, prefix, DIGITS[(time_ns - base_ns) // unit_ns]))
                    continue
                function, nested, leaf = entries[content[offset + 8 : offset + size]]
                owner = page
                count = heads[at] & 31 if at < end else 0
                if 1 < count < 29:
                    then_ns = time_ns + (heads[at] >> 5)
                    place = at + 1
                    after = place + count
                    room = count << 2
                else:
                    owner, then_ns, after, place, room = _peek(page, at, time_ns, source)
                    ahead = owner if owner is not page else None
                if room >= leave_bytes and then_ns <= alone_ns and after <= owner.end:
                    number, other, left, called, returned_ns = leave(owner.page, place << 2)
                    if number == leave_id and left == function and other == task:
                        value = returned(owner.page, place << 2) if returned is not None else ""
                        out.append(
                            f"{start}{prefix}{DIGITS[(time_ns - base_ns) // unit_ns]}{leaves[returned_ns - called]}{leaf}{value}\n"
                        )
                        if owner is page:
                            at, time_ns = after, then_ns
                        else:
                            owner.first, owner.time_ns, owner.missed = after, then_ns, 0
                        continue
                out.append(f"{start}{prefix}{DIGITS[(time_ns - base_ns) // unit_ns]}{nested}")
            except _WRONG as error:
                why = error if size < needed else f"cannot be shown: {error}"
                rest = DIGITS[(time_ns - base_ns) // unit_ns]
                out.append(f"{start}{prefix}{rest}{maker.trouble(words[body], str(why))}")
        if at > end:
            trace.complain(BEYOND)
    while True:
        yield FOREVER_NS


def _words_of(maker: LineMaker, pages: Iterable[bytes]) -> Iterator[PageWords]:
    trace = maker.trace
    for content in whole_pages(pages, trace.complain):
        page = PageWords(content, trace.order, trace.long_bytes)
        if page.problem:
            trace.complain(page.problem)
        yield page


def _peek(page: PageWords, at: int, time_ns: int, source: Iterator[PageWords]) -> tuple[PageWords, int, int, int, int]:
    """(page, time, word behind it, first word, bytes) of the record behind the word `at`, wherever it is."""
    found = page.next_record(at, time_ns)
    if found[3] == NO_RECORD and found[1] == page.end:
        following = next(source, None)
        if following is not None:
            return following, *following.next_record(following.first, following.time_ns)
    return page, *found


def merged(feeds: Sequence[tuple[int, CpuLines]], out: list[str], end_ns: int = FOREVER_NS) -> Iterator[str]:
    """Pieces of text: what (instance, lines of a CPU) append to `out`, in order of time and before `end_ns`. At equal times the first goes first."""
    several = len({instance for instance, _ in feeds}) > 1
    waiting = sorted((next(lines), index, lines.send) for index, (_, lines) in enumerate(feeds))
    while waiting and waiting[0][0] < end_ns:
        _, index, send = waiting.pop(0)
        until_ns = alone_ns = end_ns - 1
        if waiting:
            other_ns, other, _ = waiting[0]
            until_ns = alone_ns = min(end_ns - 1, other_ns - (other < index))
            if several:
                same = ((t, i) for t, i, _ in waiting if feeds[i][0] == feeds[index][0])
                other_ns, other = next(same, (end_ns, -1))
                alone_ns = min(end_ns - 1, other_ns - (other < index))
        insort(waiting, (send((until_ns, alone_ns)), index, send))
        if len(out) >= _PIECE_LINES:
            yield "".join(out)
            out.clear()
    yield "".join(out)
    out.clear()
