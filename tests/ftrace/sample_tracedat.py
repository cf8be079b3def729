"""trace.dat files made in the test, from the format's documentation: versions 6 and 7."""

import struct
import zlib

FORMAT = """name: wake
ID: 77
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:int value;\toffset:8;\tsize:4;\tsigned:1;
\tfield:__data_loc char[] name;\toffset:12;\tsize:4;\tsigned:0;

print fmt: "%d", REC->value
"""
PAGE = 4096
MAGIC = b"\x17\x08\x44tracing"


def record(value: int, pid: int, name: bytes = b"x") -> bytes:
    text = name + b"\0"
    return struct.pack("<HBBiiI", 77, 0, 0, pid, value, len(text) << 16 | 16) + text


def event(delta: int, data: bytes) -> bytes:
    """One event of the ring buffer; a long one with a length of its own."""
    data += bytes(-len(data) % 4)
    if len(data) <= 112:
        return struct.pack("<I", delta << 5 | len(data) // 4) + data
    return struct.pack("<II", delta << 5, len(data) + 4) + data


def extend(delta: int) -> bytes:
    return struct.pack("<II", (delta & (1 << 27) - 1) << 5 | 30, delta >> 27)


def page(time_ns: int, *events: bytes) -> bytes:
    content = b"".join(events)
    return (struct.pack("<QQ", time_ns, len(content)) + content).ljust(PAGE, b"\0")


def sized(data: bytes, code: str = "<Q") -> bytes:
    return struct.pack(code, len(data)) + data


HEADERS = b"header_page\0" + sized(b"page") + b"header_event\0" + sized(b"event")
EVENTS = struct.pack("<I", 1) + b"sched\0" + struct.pack("<I", 1) + sized(FORMAT.encode())
COMMS = sized(b"10 bash\n11 cat\n")


def option(number: int, data: bytes) -> bytes:
    return struct.pack("<HI", number, len(data)) + data


def version_6(*cpus: list[bytes]) -> bytes:
    """One list of pages for each CPU."""
    out = MAGIC + b"6\0" + struct.pack("<BBI", 0, 8, PAGE) + HEADERS + struct.pack("<I", 0) + EVENTS
    out += sized(b"", "<I") + sized(b"", "<I") + COMMS + struct.pack("<I", len(cpus))
    out += b"options  \0" + option(4, b"local [mono] boot\0") + struct.pack("<H", 0) + b"flyrecord\0"
    at = -(-(len(out) + 16 * len(cpus)) // PAGE) * PAGE
    places, data = b"", b""
    for pages in cpus:
        content = b"".join(pages)
        places += struct.pack("<QQ", at + len(data), len(content))
        data += content
    return (out + places).ljust(at, b"\0") + data


def section(kind: int, content: bytes, *, compress: bool) -> bytes:
    if compress:
        stored = zlib.compress(content)
        content = struct.pack("<II", len(stored), len(content)) + stored
    return struct.pack("<HHIQ", kind, int(compress), 0, len(content)) + content


def version_7(*cpus: list[bytes], compression: str = "zlib") -> bytes:
    """Compressed, or not with "none"."""
    compress = compression != "none"
    head = MAGIC + b"7\0" + struct.pack("<BBI", 0, 8, PAGE) + compression.encode() + b"\0" + b"1\0"
    body, start = b"", len(head) + 8
    options = option(5, b"Linux host 6.12.0 x86_64\0")
    for kind, content in ((16, HEADERS), (18, EVENTS), (21, COMMS), (23, sized(b"11 10\n"))):
        options += option(kind, struct.pack("<Q", start + len(body)))
        body += section(kind, content, compress=compress)
    places = b""
    for number, pages in enumerate(cpus):
        content = b"".join(pages)
        if compress:
            chunks = [content[at : at + 2 * PAGE] for at in range(0, len(content), 2 * PAGE)]
            stored = [zlib.compress(chunk) for chunk in chunks]
            parts = [struct.pack("<II", len(s), len(c)) + s for s, c in zip(stored, chunks, strict=True)]
            content = struct.pack("<I", len(chunks)) + b"".join(parts)
        places += struct.pack("<IQQ", number, start + len(body), len(content))
        body += content
    buffer = struct.pack("<Q", 0) + b"\0" + b"boot\0" + struct.pack("<II", PAGE, len(cpus)) + places
    options += option(3, buffer) + option(0, struct.pack("<Q", 0))
    return head + struct.pack("<Q", start + len(body)) + body + section(0, options, compress=compress)
