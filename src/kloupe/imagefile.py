"""Images as bytes: written once, read back the same. Versioned, compressed, checked; reading runs no code from the file.

Layout: 8 bytes magic and version, u32 CRC-32 of the content, u32 its length (both little-endian), the content compressed with zlib.
The content is the table of types and then the Image's fields in order (see imagecodec). A struct is written once; behind a pointer
only its kind, name and size are kept, since printing a value never goes there.
"""

from __future__ import annotations

import struct
import zlib

from .base.errors import FormatError
from .base.layout import EventField, EventLayout
from .image import AttachSpec, EventSpec, FunctionInfo, Image, MapSpec, ProgramSpec, Relocation, SourcePlace
from .imagecodec import (
    BOOL,
    BYTES,
    INT,
    LARGEST_BYTES,
    OPTIONAL_TYPE,
    PARAMS,
    TEXT,
    TYPE,
    Reader,
    Writer,
    group,
    made_of,
    read_types,
    sequence,
    write_types,
)

MAGIC = b"KLOUPE\x00\x02"  # the last byte is the version of the format
_HEAD = struct.Struct("<8sII")
_LONGEST_BYTES = 256 << 20

_PLACE = made_of(SourcePlace, file=TEXT, line=INT, column=INT, end_column=INT, text=TEXT)
_RELOCATION = made_of(Relocation, index=INT, kind=TEXT, name=TEXT, addend=INT)
_FUNCTION = made_of(FunctionInfo, name=TEXT, start_insn=INT, arguments=INT)
_ATTACH = made_of(AttachSpec, kind=TEXT, name=TEXT, params=PARAMS, cookie=INT)
_PROGRAM = made_of(
    ProgramSpec,
    name=TEXT,
    type=TEXT,
    attach_type=TEXT,
    code=BYTES,
    relocations=sequence(_RELOCATION),
    functions=sequence(_FUNCTION),
    lines=sequence(group(INT, INT)),
    places=sequence(_PLACE),
    attach=sequence(_ATTACH),
    sleepable=BOOL,
    probe_count=INT,
)
_MAP = made_of(
    MapSpec,
    name=TEXT,
    kind=TEXT,
    key_size=INT,
    value_size=INT,
    max_entries=INT,
    flags=INT,
    key_type=OPTIONAL_TYPE,
    value_type=OPTIONAL_TYPE,
    initial=BYTES,
    read_only=BOOL,
    members=sequence(TEXT),
    short=TEXT,
)
_EVENT_FIELD = made_of(EventField, name=TEXT, offset=INT, type=TYPE)
_LAYOUT = made_of(EventLayout, size=INT, fields=sequence(_EVENT_FIELD))
_EVENT = made_of(
    EventSpec, id=INT, kind=TEXT, layout=_LAYOUT, place=_PLACE, params=PARAMS, expanded_from=sequence(_PLACE)
)
_IMAGE = made_of(
    Image,
    name=TEXT,
    arch=TEXT,
    programs=sequence(_PROGRAM),
    maps=sequence(_MAP),
    events=sequence(_EVENT),
    strings=sequence(TEXT),
    config=PARAMS,
    warnings=sequence(TEXT),
    missing=sequence(TEXT),
)


def to_bytes(image: Image) -> bytes:
    """The Image as bytes; the same Image gives the same bytes (with the same zlib)."""
    w = Writer()
    for spec in image.maps:
        for t in (spec.key_type, spec.value_type):
            if t is not None:
                w.collect(t)
    for event in image.events:
        for field in event.layout.fields:
            w.collect(field.type)
    write_types(w)
    _IMAGE.write(w, image)
    content = bytes(w.data)
    return _HEAD.pack(MAGIC, zlib.crc32(content), len(content)) + zlib.compress(content, 9)


def from_bytes(data: bytes, path: str = "<image>") -> Image:
    """The Image that `to_bytes` wrote. Raises FormatError (naming `path`) for anything else."""
    if len(data) < _HEAD.size or data[:7] != MAGIC[:7]:
        raise FormatError(path, 0, "not a kloupe image")
    magic, checksum, length = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise FormatError(path, 7, f"image format {magic[7]}, this kloupe reads {MAGIC[7]}")
    if length > _LONGEST_BYTES:
        raise FormatError(path, 12, f"content of {length} bytes")
    inflate = zlib.decompressobj()
    try:
        content = inflate.decompress(data[_HEAD.size :], length + 1)
    except zlib.error as error:
        raise FormatError(path, _HEAD.size, f"damaged: {error}") from error
    if not inflate.eof or inflate.unused_data or len(content) != length or zlib.crc32(content) != checksum:
        raise FormatError(path, _HEAD.size, "damaged: length or checksum is wrong")
    r = Reader(content, path)
    read_types(r)
    image: Image = _IMAGE.read(r)
    if r.at != len(content):
        r.fail("more bytes than the image has")
    _check_events(r, image)
    return image


def _check_events(r: Reader, image: Image) -> None:
    for index, event in enumerate(image.events):
        size = event.layout.size
        if event.id != index or not 8 <= size <= LARGEST_BYTES:
            r.fail(f"event {index} has id {event.id} and {size} bytes")
        for field in event.layout.fields:
            if field.offset < 0 or field.offset + field.type.size > size:
                r.fail(f"event {index}: field {field.name} lies outside")
