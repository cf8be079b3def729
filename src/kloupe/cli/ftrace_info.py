"""`kloupe ftrace info FILE` and `split`: what a trace.dat holds; a part of one as a file of its own."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from struct import Struct

from ..base.errors import UsageError
from ..ftrace.batch import batches
from ..ftrace.report.options import ReportOptions
from ..ftrace.source import Instance, Stream, Trace, open_trace
from ..ftrace.split import split_pages
from ..ftrace.tracedat import TraceFile
from ..ftrace.tracedat.tables import tables_of
from ..ftrace.tracedat.write import write_trace
from .ftrace_options import VIEW, parse_words
from .ftrace_record import RECORD, file_kind
from .ftrace_report import CHOICE, report_options, tell_empty, tell_problems
from .ftrace_views import require_place


def run(word: str, arguments: list[str]) -> int:
    """Print the facts, or write the part; 1 when the file is damaged."""
    return _split(arguments) if word == "split" else _info(arguments)


def _info(arguments: list[str]) -> int:
    words = parse_words(arguments, {})
    if len(words.plain) != 1:
        raise UsageError("one trace.dat is needed", hint="kloupe ftrace info FILE")
    path = words.plain[0]
    with TraceFile(path) as file:
        trace = open_trace(path)
        order = "little-endian" if file.order == "<" else "big-endian"
        print(
            f"{path}: trace.dat version {file.version}, {order}, {8 * file.long_bytes}-bit, compression {file.compression}"
        )
        for name, value in (("system", file.uname), ("written by", file.writer), ("clock", file.clock)):
            print(f"  {name}: {value or 'not said'}")
        print(f"  CPUs: {trace.cpu_count}, event formats: {len(file.formats)}, task names: {len(file.comms)}")
        print(f"  symbols: {len(file.kallsyms()) >> 10} kB, BTF: {len(file.btf()) >> 10} kB")
        if file.latency_text:
            print("  text of a latency tracer, no events")
        for instance in trace.instances:
            _describe(trace, instance)
        for text in file.cpu_stats:
            print("  " + ", ".join(line.strip() for line in text.splitlines() if line.strip()))
    return tell_problems(trace)


def _describe(trace: Trace, instance: Instance) -> None:
    number = Struct(trace.order + "H").unpack_from
    counts: dict[int, int] = {}
    first = last = 0
    missed = 0
    for stream in instance.streams:
        for batch in batches(stream.pages(), trace.order, trace.long_bytes, trace.complain):
            first = min(first or batch.times_ns[0], batch.times_ns[0])
            last = max(last, batch.times_ns[-1])
            missed += max(0, batch.missed)
            for offset, size in zip(batch.offsets, batch.sizes, strict=True):
                if size >= 2:
                    kind = number(batch.page, offset)[0]
                    counts[kind] = counts.get(kind, 0) + 1
    total = sum(counts.values())
    name = f"instance {instance.name}" if instance.name else "main instance"
    print(f"  {name}: {total} events from {first / 1e9:.6f} to {last / 1e9:.6f}, clock {instance.clock}, lost {missed}")
    for kind, count in sorted(counts.items(), key=lambda pair: -pair[1]):
        form = trace.formats[kind]
        print(f"    {count:>10} {f'{form.system}:{form.name}' if form else f'unknown event {kind}'}")


def _split(arguments: list[str]) -> int:
    words = parse_words(
        arguments, {**CHOICE, **{key: RECORD[key] for key in ("version", "compression")}, "output": VIEW["output"]}
    )
    if len(words.plain) != 1 or not words.has("output"):
        raise UsageError("split needs a file and -o", hint="kloupe ftrace split FILE --from 12.5 --to 13 -o PART")
    path = words.plain[0]
    require_place(words.get("output"), path)
    version, compression = file_kind(words)
    trace = open_trace(path)
    options = report_options(words, trace)
    with TraceFile(path) as file:
        tables = tables_of(file)
    wanted = [i for i in trace.instances if not options.instances or i.name in options.instances]
    count = itertools.count()
    buffers = [
        (i.name, [(s.cpu, _pages(trace, s, options, count)) for s in i.streams_of(options.cpus)]) for i in wanted
    ]
    write_trace(words.get("output"), tables, buffers, version=version, compression=compression)
    tell_empty(next(count) > 0)
    if sys.stderr.isatty():
        sys.stderr.write(f"{words.get('output')} written\n")
    return tell_problems(trace)


def _pages(trace: Trace, stream: Stream, options: ReportOptions, count: Iterator[int]) -> Iterator[bytes]:
    """The pages of a part, each counted."""
    for page in split_pages(trace, stream, options):
        next(count)
        yield page
