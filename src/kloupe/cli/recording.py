"""--record: compile the script twice (with journals and without), and put a recorder between the engine and the session."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..base.errors import UsageError
from ..base.journal import EVENT_KIND
from ..base.record import replace
from ..codegen.pipeline import Compilation, Importer, compile_script
from ..engine.protocol import Engine
from ..engine.recording import Described, RecordingEngine
from ..image import Image
from ..recording.meta import Meta
from ..recording.write import RecordingWriter
from ..session.outside import LiveOutside, Outside
from ..session.recorded import RecordingNames, RecordingOutside, RecordingSymbolizer
from ..session.session import is_little_endian
from ..session.symbolize import Symbolizer

if TYPE_CHECKING:
    from ..base.source import Source
    from ..kernel.target import Target, TracepointFormat
    from ..sema.analyzer import CompileOptions

_CLOCKS = {"monotonic": time.CLOCK_MONOTONIC, "boot": time.CLOCK_BOOTTIME, "tai": time.CLOCK_TAI}


def read_clocks() -> dict[str, int]:
    """All clocks now, as a recording's description has them."""
    return {**{name: time.clock_gettime_ns(number) for name, number in _CLOCKS.items()}, "wall": time.time_ns()}


class Recorder:
    """What --record adds to one run."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._described: Described | None = None

    def compile(self, source: Source, target: Target, options: CompileOptions, importer: Importer) -> Compilation:
        """The script with journals; remembers it without."""
        compilation = compile_script(source, target, replace(options, record=True, whole_contexts=True), importer)
        plain = compile_script(source, target, replace(options, dispatch=False), importer)
        assert plain.image is not None and compilation.image is not None
        from ..imagefile import to_bytes

        meta = _describe(compilation, compilation.image, target, source, options)
        self._described = Described(meta, to_bytes(plain.image))
        return compilation

    def start(self, engine: Engine, symbolizer: Symbolizer) -> Recorded:
        """The recording parts of a session. Raises UsageError when the file cannot be written or the script was not compiled here."""
        if self._described is None:
            raise UsageError("a compiled script cannot be recorded: record it from its text")
        self._described.meta.clocks = read_clocks()
        return Recorded(RecordingWriter(self.path), engine, symbolizer, self._described)


class Recorded:
    """Engine, symbolizer and outside of a session that is recorded."""

    def __init__(self, writer: RecordingWriter, engine: Engine, symbolizer: Symbolizer, described: Described) -> None:
        self._writer = writer
        self.symbolizer = RecordingSymbolizer(symbolizer, writer)
        self.engine = RecordingEngine(engine, writer, described, self.symbolizer.ask_all)
        self.start_ns = described.meta.clocks["boot"]
        self.outside: Outside = RecordingOutside(LiveOutside(), writer)

    def names(self, image: Image, engine: Engine, syscalls: Mapping[str, int]) -> RecordingNames:
        """The names of the session."""
        names = RecordingNames(image.strings, engine, self.symbolizer, syscalls, is_little_endian(image))
        names.writer = self._writer
        return names


def _describe(compilation: Compilation, image: Image, target: Target, source: Source, options: CompileOptions) -> Meta:
    from .. import __version__
    from ..engine.machine.task import this_task

    task = this_task()
    units = compilation.analysis.units
    journal = next(event for event in image.events if event.kind == EVENT_KIND)
    formats = {
        point.name.partition(":")[2]: target.tracepoint(
            str(point.attach.params["category"]), str(point.attach.params["event"])
        )
        for unit in units
        for point in unit.points
        if point.kind == "tracepoint"
    }
    return Meta(
        arch=image.arch,
        little_endian=is_little_endian(image),
        release=target.release,
        page_size=target.arch.page_size,
        cpus=target.cpu_count,
        clocks=read_clocks(),
        task={
            **{name: getattr(task, name) for name in ("pid", "tid", "uid", "gid", "ppid", "cgroup_id")},
            "comm": task.comm.decode("utf-8", "replace"),
        },
        points=[[point.name for point in unit.points] for unit in units],
        stack_maps=[name for name in str(journal.params["stack_maps"]).split(",") if name],
        formats={name: _format_text(found) for name, found in formats.items() if found is not None},
        script={"name": source.name, "text": source.text, "params": list(options.params), "pid": os.getpid()},
        child_pid=options.child_pid,
        version=__version__,
    )


def _format_text(found: TracepointFormat) -> str:
    """A tracepoint's format file, as far as it says where fields are."""
    lines = [f"name: {found.event}", f"ID: {found.id}", "format:"]
    for field in found.fields:
        size = 4 if field.data_loc else field.type.size
        signed = int(bool(getattr(field.type, "signed", False)))
        lines.append(f"\tfield:{field.decl};\toffset:{field.offset};\tsize:{size};\tsigned:{signed};")
    return "\n".join([*lines, "", f"print fmt: {found.print_fmt}", ""])
