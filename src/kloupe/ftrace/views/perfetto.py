"""Perfetto's own format: a protobuf file for ui.perfetto.dev, written with nothing but its wire format.

Source: perfetto's protos/perfetto/trace/ (Trace, TracePacket, TrackDescriptor, TrackEvent, DebugAnnotation) for the field numbers, and
protobuf's encoding guide for the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..decode.values import FieldValue
from ..events import Call, TraceEvent

_SEQUENCE = 1  # trusted_packet_sequence_id
_SLICE_BEGIN, _SLICE_END, _INSTANT = 1, 2, 3


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode("utf-8", "replace"))


def _packet(content: bytes) -> bytes:
    """Trace.packet (1) with a sequence id (10)."""
    return _bytes(1, content + _number(10, _SEQUENCE))


def _track(pid: int, tgid: int, comm: str) -> bytes:
    """TracePacket.track_descriptor (60): uuid (1), thread (4: pid 1, tid 2, thread_name 5)."""
    thread = _number(1, tgid) + _number(2, pid) + _text(5, comm)
    return _packet(_bytes(60, _number(1, _uuid(pid)) + _bytes(4, thread)))


def _uuid(pid: int) -> int:
    return pid + 1


def _annotation(name: str, value: FieldValue) -> bytes:
    """TrackEvent.debug_annotations (4): name (10), and int_value (4) or string_value (6)."""
    content = (
        _number(4, value)
        if isinstance(value, int)
        else _text(6, value.hex() if isinstance(value, bytes) else str(value))
    )
    return _bytes(4, _text(10, name) + content)


def _event(time_ns: int, kind: int, pid: int, name: str = "", category: str = "", notes: bytes = b"") -> bytes:
    """TracePacket: timestamp (8), track_event (11: type 9, track_uuid 11, categories 22, name 23)."""
    content = _number(9, kind) + _number(11, _uuid(pid)) + notes
    content += (_text(22, category) if category else b"") + (_text(23, name) if name else b"")
    return _packet(_number(8, time_ns) + _bytes(11, content))


def render_perfetto(items: Iterable[TraceEvent | Call], tgids: dict[int, int]) -> Iterator[bytes]:
    """Pieces of the file."""
    named: set[int] = set()
    for item in items:
        if item.pid not in named:
            named.add(item.pid)
            yield _track(item.pid, tgids.get(item.pid, item.pid), item.comm)
        if isinstance(item, TraceEvent):
            notes = b"".join(_annotation(name, value) for name, value in item.fields.items())
            yield _event(item.time_ns, _INSTANT, item.pid, item.name, item.system, notes)
        else:
            yield b"".join(_slices(item))


def _slices(root: Call) -> Iterator[bytes]:
    stack: list[tuple[Call, bool]] = [(root, False)]
    while stack:
        call, closing = stack.pop()
        if closing:
            yield _event(call.end_ns, _SLICE_END, call.pid)
            continue
        notes = b"".join(_annotation(name, value) for name, value in call.args.items())
        if call.retval is not None:
            notes += _annotation("retval", call.retval)
        yield _event(call.start_ns, _SLICE_BEGIN, call.pid, call.function, "function", notes)
        stack.append((call, True))
        stack.extend((child, False) for child in reversed(call.children))
