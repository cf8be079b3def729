"""Script maps from user space: merge what the CPUs counted, sort as bpftrace does, clear and zero. Layouts: see image.MapSpec."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..base.ctype import (
    Aggregate,
    Bool,
    Buffer,
    CType,
    Enum,
    Histogram,
    Int,
    Opaque,
    Pointer,
    Record,
    Stack,
    String,
    TimeSeries,
    Tuple,
    is_bucketed,
)
from ..base.layout import align_up
from ..engine.protocol import Engine, MapAccess
from ..image import SHORT_KEY_BYTES, Image, MapSpec
from ..output.decode import bytes_of_text, decoder, merger, truncated_quotient
from ..output.model import MapTable
from ..output.time_series import last_number, series
from ..output.time_series import merger as series_merger

SortKey = Callable[[Any], Any]
Rows = list[tuple[Any, Any]]

_IS_SET_BYTES = 8
_MASK = (1 << 64) - 1


def key_order(t: CType) -> SortKey:
    """How keys of this type sort: integers as signed, strings bytewise, tuples by their fields, stacks by id; others stay as they come."""
    if isinstance(t, Int):
        half, full = 1 << 8 * t.size - 1, 1 << 8 * t.size
        return lambda value: value - full if value >= half else value
    if isinstance(t, (Bool, Enum, Pointer, Buffer, Opaque, Stack)):
        return lambda value: value
    if isinstance(t, String):
        return bytes_of_text
    if isinstance(t, Tuple):
        parts = [key_order(element) for element in t.elements]
        return lambda value: [part(v) for part, v in zip(parts, value, strict=True)]
    if isinstance(t, Record):
        named = [(name, key_order(member)) for name, member in t.members]
        return lambda value: [part(value[name]) for name, part in named]
    return lambda value: 0


def _row_order(key: CType | None, value: CType) -> Callable[[tuple[Any, Any]], Any]:
    """How rows sort: by value where values are numbers (equal ones by key, which bpftrace leaves to chance), else by key."""
    by_key = key_order(key) if key is not None else (lambda _: 0)
    if isinstance(value, TimeSeries):
        return lambda row: (row[1][-1][0] if row[1] else 0, by_key(row[0]))
    if isinstance(value, Histogram):
        return lambda row: (sum(row[1].values()), by_key(row[0]))
    if isinstance(value, Aggregate):
        if value.kind == "stats":
            return lambda row: (row[1][1], by_key(row[0]))
        if value.kind in ("min", "max"):
            return lambda row: (row[1] & _MASK, by_key(row[0]))
        return lambda row: (row[1], by_key(row[0]))
    if isinstance(value, (Int, Enum)):
        return lambda row: (row[1], by_key(row[0]))
    return lambda row: by_key(row[0])


def _divide(value_type: CType, rows: Rows, div: int) -> Rows:
    if div in (0, 1):
        return rows
    if isinstance(value_type, Aggregate) and value_type.kind == "stats":
        return [(k, (v[0], truncated_quotient(v[1], div), v[2])) for k, v in rows]
    if isinstance(value_type, (Aggregate, Int)):
        return [(k, truncated_quotient(v, div)) for k, v in rows]
    return rows


class MapReader:
    """Reads one script map of a running Image."""

    def __init__(self, spec: MapSpec, access: MapAccess, little_endian: bool, trailer: str) -> None:
        assert spec.value_type is not None
        self.spec = spec
        self.value_type = spec.value_type
        self._access = access
        self._order = "<" if little_endian else ">"
        self._per_cpu = "percpu" in spec.kind
        self._decode_key = decoder(spec.key_type, little_endian, trailer) if spec.key_type is not None else None
        self._merge: Callable[[Sequence[bytes]], Any]
        if isinstance(self.value_type, TimeSeries):
            self._merge = series_merger(self.value_type, self._order)
        elif self._per_cpu or isinstance(self.value_type, (Aggregate, Histogram)):
            self._merge = merger(self.value_type, self._order)
        else:
            decode = decoder(self.value_type, little_endian, trailer)
            self._merge = lambda values: decode(values[0], 0)
        self._sort = _row_order(spec.key_type, self.value_type)
        self._zeroed = False  # a scalar histogram has no "is set" mark of its own

    def _raw_items(self) -> Iterable[tuple[bytes, Sequence[bytes]]]:
        if self._per_cpu:
            return self._access.per_cpu_items()
        return ((key, (value,)) for key, value in self._access.items())

    def _scalar_rows(self) -> Rows:
        key = bytes(self.spec.key_size)
        if self._per_cpu:
            cells: Sequence[bytes] = self._access.per_cpu_lookup(key) or ()
        else:
            cell = self._access.lookup(key)
            cells = () if cell is None else (cell,)
        values = [cell[_IS_SET_BYTES:] for cell in cells if any(cell[:_IS_SET_BYTES])]
        return [(None, self._merge(values))] if values else []

    def _series_rows(self) -> Rows:
        t = self.value_type
        assert isinstance(t, TimeSeries)
        key_size = align_up(self.spec.key_type.size, 8) if self.spec.key_type is not None else 0
        found: dict[bytes, dict[int, int]] = {}
        for key, values in self._raw_items():
            merged = self._merge(values)
            numbers = found.setdefault(bytes(key[:key_size]), {})
            if merged is not None:
                numbers[merged[0]] = merged[1]
        last = last_number(found.values())
        rows = [(key, series(t, numbers, last)) for key, numbers in found.items()]
        if self._decode_key is None:
            return [(None, points) for _, points in rows if points or self._zeroed]
        decode = self._decode_key
        return [(decode(key, 0), points) for key, points in rows]

    def _histogram_rows(self) -> Rows:
        if self.spec.key_type is None:
            index = struct.Struct(self._order + "I").unpack_from
            counts = {index(key)[0]: self._merge(values) for key, values in self._raw_items()}
            counts = {bucket: count for bucket, count in counts.items() if count}
            return [(None, counts)] if counts or self._zeroed else []
        bucket_at = align_up(self.spec.key_type.size, 8)
        bucket_of = struct.Struct(self._order + "Q").unpack_from
        grouped: dict[bytes, dict[int, int]] = {}
        for key, values in self._raw_items():
            grouped.setdefault(bytes(key[:bucket_at]), {})[bucket_of(key, bucket_at)[0]] = self._merge(values)
        assert self._decode_key is not None
        return [(self._decode_key(key, 0), counts) for key, counts in grouped.items()]

    def rows(self) -> Rows:
        """All (key, value), sorted; a scalar map gives none or one with key None."""
        if isinstance(self.value_type, TimeSeries):
            rows = self._series_rows()
        elif isinstance(self.value_type, Histogram):
            rows = self._histogram_rows()
        elif self._decode_key is None:
            return self._scalar_rows()
        else:
            decode, merge = self._decode_key, self._merge
            rows = [(decode(key, 0), merge(values)) for key, values in self._raw_items()]
        rows.sort(key=self._sort)
        return rows

    def table(self, top: int = 0, div: int = 1, *, show_unset: bool = False) -> MapTable:
        """What is printed: the last `top` rows (0: all), values divided by `div` (0 and 1: not).

        With `show_unset` a scalar map that has no value shows its type's zero value, as `print(@x)` does.
        """
        t, key = self.value_type, self.spec.key_type
        rows = self.rows()
        if show_unset and not rows and key is None and not is_bucketed(t):
            rows = [(None, self._merge([bytes(t.size)]))]
        if top:
            rows = rows[-top:]
        if not is_bucketed(t):
            rows = _divide(t, rows, div)
        return MapTable(self.spec.name, key, t, rows, div or 1)

    def entry(self, key: bytes) -> Any:
        """The value at a key's bytes; the type's zero value when there is none."""
        key = key.ljust(self.spec.key_size, b"\0")
        values: Sequence[bytes] | None = None
        if self._per_cpu:
            values = self._access.per_cpu_lookup(key)
        elif (value := self._access.lookup(key)) is not None:
            values = (value,)
        return self._merge(values or (bytes(self.value_type.size),))

    def clear(self) -> None:
        """Remove everything."""
        self._zeroed = False
        if self.spec.kind.endswith("array"):
            for key, _ in list(self._raw_items()):
                self._access.update(key, bytes(self.spec.value_size))
            return
        for key, _ in list(self._raw_items()):
            self._access.delete(key)

    def zero(self) -> None:
        """Set all values that are there to zero."""
        if self.spec.key_type is None and not is_bucketed(self.value_type):
            if self._scalar_rows():
                is_set = struct.pack(self._order + "Q", 1)
                self._access.update(bytes(self.spec.key_size), is_set.ljust(self.spec.value_size, b"\0"))
            return
        items = list(self._raw_items())
        self._zeroed = self._zeroed or any(any(map(any, values)) for _, values in items)
        for key, _ in items:
            self._access.update(key, bytes(self.spec.value_size))


class JoinedMaps:
    """A map and the one that holds its entries with short keys, as one (engine.protocol.MapAccess); per-CPU maps with keys."""

    def __init__(self, spec: MapSpec, long: MapAccess, short: MapAccess) -> None:
        self._key_bytes = spec.key_size
        self._long, self._short = long, short

    def _place(self, key: bytes) -> tuple[MapAccess, bytes]:
        if any(key[SHORT_KEY_BYTES - 1 :]):
            return self._long, key
        return self._short, key[:SHORT_KEY_BYTES]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """See MapAccess."""
        yield from self._long.items()
        for key, value in self._short.items():
            yield key.ljust(self._key_bytes, b"\0"), value

    def per_cpu_items(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        """See MapAccess."""
        yield from self._long.per_cpu_items()
        for key, values in self._short.per_cpu_items():
            yield key.ljust(self._key_bytes, b"\0"), values

    def lookup(self, key: bytes) -> bytes | None:
        """See MapAccess."""
        access, key = self._place(key)
        return access.lookup(key)

    def per_cpu_lookup(self, key: bytes) -> Sequence[bytes] | None:
        """See MapAccess."""
        access, key = self._place(key)
        return access.per_cpu_lookup(key)

    def update(self, key: bytes, value: bytes) -> None:
        """See MapAccess."""
        access, key = self._place(key)
        access.update(key, value)

    def delete(self, key: bytes) -> bool:
        """See MapAccess."""
        access, key = self._place(key)
        return access.delete(key)


class Maps:
    """All script maps of an Image, by name; readers are made when first asked for."""

    def __init__(self, image: Image, engine: Engine, little_endian: bool, trailer: str) -> None:
        self._specs = {spec.name: spec for spec in image.maps if spec.is_script_map and spec.value_type is not None}
        self._engine = engine
        self._little_endian = little_endian
        self._trailer = trailer
        self._readers: dict[str, MapReader] = {}

    def names(self) -> list[str]:
        """The names, sorted bytewise."""
        return sorted(self._specs, key=bytes_of_text)

    def __getitem__(self, name: str) -> MapReader:
        if name not in self._readers:
            spec, access = self._specs[name], self._engine.map(name)
            if spec.short:
                access = JoinedMaps(spec, access, self._engine.map(spec.short))
            self._readers[name] = MapReader(spec, access, self._little_endian, self._trailer)
        return self._readers[name]
