"""What happens with each kind of event: one factory per kind, looked up in `HANDLERS`. See image.EventSpec for kinds and fields."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from ..base.errors import InternalError
from ..base.record import field, record, replace
from ..image import EventSpec, Image, SourcePlace
from ..output.decode import bytes_of_text, decoder, text_of_bytes
from ..output.model import HelperFailure, Output, Place, PrintEach
from ..output.names import Names
from ..output.printf import Printf
from .mapread import Maps
from .outside import LiveOutside, Outside
from .symbolize import wall_text

Record = bytes | memoryview
Handle = Callable[[Sequence[Record]], None]

_E2BIG, _ENOENT = 7, 2
_DEFAULT_CAT_BYTES = 10240

# (helper, errno) -> what it means for a map of the script. bpftrace's own words.
_MAP_FULL = (
    "Map full; can't update element. Try increasing max_map_keys config or manually setting the max entries "
    "in a map declaration e.g. `let @a = hash(5000)`"
)
_NO_DELETE = "Can't delete map element because it does not exist."
_NO_LOOKUP = "Can't lookup map element because it does not exist."
_HELPER_MESSAGES = {("map_update_elem", _E2BIG): _MAP_FULL, ("map_delete_elem", _ENOENT): _NO_DELETE}


@record
class Scene:
    """What handlers work with, and what they leave behind."""

    image: Image
    out: Output
    names: Names
    maps: Maps
    little_endian: bool
    trailer: str
    show_warnings: bool = True
    outside: Outside = field(default_factory=LiveOutside)
    interrupted: bool = False  # by a signal: commands that wait to be run are not run any more
    exiting: bool = False  # an exit event has come: later output is dropped
    leaving: bool = False  # an exit event of an iterator has come: the session ends when nothing more is there
    exit_status: int = 0
    error_count: int = 0
    full_maps: dict[str, int] = field(default_factory=dict)  # map -> updates that found no room


@record(frozen=True)
class Handler:
    """`handle` takes a run of records of one event. Events that only print text also give `each`, the bytes per record."""

    handle: Handle
    each: PrintEach | None = None


Factory = Callable[[Scene, EventSpec], Handler]


def place_of(spec: EventSpec, *, with_text: bool = True) -> Place:
    """The event's place in the script, and the macro calls that it came out of."""
    own = _place(spec.place, spec.place.text if with_text else "")
    return replace(own, expanded_from=tuple(_place(call, call.text) for call in spec.expanded_from))


def _place(p: SourcePlace, text: str) -> Place:
    return Place(p.file, p.line, p.column, p.end_column, text)


def _fields(scene: Scene, spec: EventSpec) -> list[Callable[[Record], Any]]:
    def reader(offset: int, decode: Callable[[Record, int], Any]) -> Callable[[Record], Any]:
        return lambda record: decode(record, offset)

    return [reader(f.offset, decoder(f.type, scene.little_endian, scene.trailer)) for f in spec.layout.fields]


def _printf_plan(scene: Scene, spec: EventSpec) -> Printf:
    return Printf(str(spec.params["format"]), spec.layout, scene.names, scene.little_endian, scene.trailer)


def _printf(scene: Scene, spec: EventSpec) -> Handler:
    joined, each = scene.out.printf(_printf_plan(scene, spec))
    write = scene.out.write
    return Handler(lambda records: write(joined(records)), each)


def _message(scene: Scene, spec: EventSpec) -> Handler:
    plan, place = _printf_plan(scene, spec), place_of(spec, with_text=False)

    def handle(records: Sequence[Record]) -> None:
        if spec.kind == "errorf":
            scene.error_count += len(records)
        elif not scene.show_warnings:
            return
        for text in plan.each(records):
            scene.out.message(spec.kind, place, text)

    return Handler(handle)


def _print_value(scene: Scene, spec: EventSpec) -> Handler:
    last = spec.layout.fields[-1]  # print_entry has the key before it
    read = _fields(scene, spec)[-1]
    emit = scene.out.value(last.type)

    def handle(records: Sequence[Record]) -> None:
        for item in records:
            emit(read(item))

    return Handler(handle)


def _print_entry(scene: Scene, spec: EventSpec) -> Handler:
    if len(spec.layout.fields) > 1:
        return _print_value(scene, spec)
    reader = scene.maps[str(spec.params["map"])]
    key = spec.layout.fields[0]
    emit = scene.out.value(reader.value_type)

    def handle(records: Sequence[Record]) -> None:
        for item in records:
            emit(reader.entry(bytes(item[key.offset : key.offset + key.type.size])))

    return Handler(handle)


def _each_time(action: Callable[[], None]) -> Handler:
    def handle(records: Sequence[Record]) -> None:
        for _ in records:
            action()

    return Handler(handle)


def _print_map(scene: Scene, spec: EventSpec) -> Handler:
    reader = scene.maps[str(spec.params["map"])]
    top, div = int(spec.params.get("top", 0)), int(spec.params.get("div", 0))
    return _each_time(lambda: scene.out.map(reader.table(top, div, show_unset=True)))


def _clear(scene: Scene, spec: EventSpec) -> Handler:
    reader = scene.maps[str(spec.params["map"])]
    return _each_time(reader.clear)


def _zero(scene: Scene, spec: EventSpec) -> Handler:
    reader = scene.maps[str(spec.params["map"])]
    return _each_time(reader.zero)


def _exit(scene: Scene, spec: EventSpec) -> Handler:
    read = _fields(scene, spec)
    late = bool(spec.params.get("late"))

    def handle(records: Sequence[Record]) -> None:
        scene.leaving = True
        scene.exiting = not late
        scene.exit_status = int(read[0](records[0])) if read else 0

    return Handler(handle)


def _time(scene: Scene, spec: EventSpec) -> Handler:
    format = str(spec.params.get("format", "%H:%M:%S\n"))
    return _each_time(lambda: scene.out.plain("time", bytes_of_text(wall_text(format, scene.outside.now_s()))))


def _system(scene: Scene, spec: EventSpec) -> Handler:
    plan = _printf_plan(scene, spec)

    def handle(records: Sequence[Record]) -> None:
        for command in plan.each(records):
            if scene.interrupted:
                return
            scene.out.tick()
            printed, status = scene.outside.run(command)
            scene.out.plain("syscall", printed)
            if status:
                how = f"exited with status {status}" if status > 0 else f"was ended by signal {-status}"
                scene.out.note("ERROR", f"system(): '{text_of_bytes(command)}' {how}")

    return Handler(handle)


def _cat(scene: Scene, spec: EventSpec) -> Handler:
    plan = _printf_plan(scene, spec)
    limit = int(scene.image.config.get("max_cat_bytes", _DEFAULT_CAT_BYTES))

    def handle(records: Sequence[Record]) -> None:
        for path in plan.each(records):
            try:
                scene.out.plain("cat", scene.outside.read(path, limit))
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                scene.out.note("ERROR", f"failed to open file '{text_of_bytes(path)}' ({reason})")

    return Handler(handle)


def _join(scene: Scene, spec: EventSpec) -> Handler:
    read = _fields(scene, spec)
    delimiter = bytes_of_text(str(spec.params.get("delimiter", " ")))

    def handle(records: Sequence[Record]) -> None:
        for item in records:
            words: list[bytes] = []
            for field_of in read:
                value = field_of(item)
                word = bytes_of_text(value) if isinstance(value, str) else bytes(value).partition(b"\0")[0]
                if not word:
                    break
                words.append(word)
            scene.out.plain("join", delimiter.join(words))

    return Handler(handle)


def _runtime_error(scene: Scene, spec: EventSpec) -> Handler:
    place, message = place_of(spec), str(spec.params["message"])

    def report() -> None:
        scene.error_count += 1
        scene.out.runtime_error(place, message)

    return _each_time(report)


def _helper_error(scene: Scene, spec: EventSpec) -> Handler:
    read = _fields(scene, spec)
    place, helper = place_of(spec), str(spec.params["helper"]).removeprefix("bpf_")

    def handle(records: Sequence[Record]) -> None:
        for item in records:
            scene.error_count += 1
            code = int(read[0](item))
            errno_message = os.strerror(abs(code))
            if helper == "map_lookup_elem":
                message = _NO_LOOKUP
            else:
                message = _HELPER_MESSAGES.get((helper, -code), errno_message)
            if message is _MAP_FULL:
                name = str(spec.params.get("map", "?"))
                scene.full_maps[name] = scene.full_maps.get(name, 0) + 1
            scene.out.helper_error(HelperFailure(helper, code, message, errno_message, place))

    return Handler(handle)


HANDLERS: dict[str, Factory] = {
    "printf": _printf,
    "errorf": _message,
    "warnf": _message,
    "print_value": _print_value,
    "print_entry": _print_entry,
    "print_map": _print_map,
    "clear": _clear,
    "zero": _zero,
    "exit": _exit,
    "time": _time,
    "system": _system,
    "cat": _cat,
    "join": _join,
    "runtime_error": _runtime_error,
    "helper_error": _helper_error,
}


def handler_of(scene: Scene, spec: EventSpec) -> Handler:
    """The handler of one event. Raises InternalError for a kind that nobody handles."""
    factory = HANDLERS.get(spec.kind)
    if factory is None:
        raise InternalError(f"no handler for event kind {spec.kind!r}")
    return factory(scene, spec)
