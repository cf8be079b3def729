"""Traces made for tests: event formats, records and pages of either byte order and either size of a long."""

import struct
from pathlib import Path

from kloupe.ftrace.split import PageMaker
from kloupe.ftrace.tracedat.tables import Tables
from kloupe.ftrace.tracedat.write import write_trace

COMMON = """\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
"""
KALLSYMS = b"""ffffffff81000000 T vfs_read
ffffffff81000100 T ksys_read
ffffffff81000200 T rw_verify_area
ffffffff81000300 T schedule
ffffffff81000400 T last
"""
FUNCTIONS = {"vfs_read": 0x81000000, "ksys_read": 0x81000100, "rw_verify_area": 0x81000200, "schedule": 0x81000300}
ENTRY, EXIT, SWITCH, WAKE = 11, 10, 300, 301


def field(decl: str, offset: int, size: int, signed: int = 0) -> str:
    return f"\tfield:{decl};\toffset:{offset};\tsize:{size};\tsigned:{signed};\n"


def event_format(name: str, number: int, fields: str, print_fmt: str) -> bytes:
    return f"name: {name}\nID: {number}\nformat:\n{COMMON}\n{fields}\nprint fmt: {print_fmt}\n".encode()


class Maker:
    """Makes files of one kind of machine."""

    def __init__(self, order: str = "<", long_bytes: int = 8) -> None:
        self.order, self.long_bytes = order, long_bytes
        self.address_code = "Q" if long_bytes == 8 else "I"
        self.base = 0xFFFFFFFF00000000 if long_bytes == 8 else 0

    def address(self, name: str) -> int:
        return self.base | FUNCTIONS[name]

    def formats(self) -> list[tuple[str, bytes]]:
        w = self.long_bytes
        entry = field("unsigned long func", 8, w) + field("int depth", 8 + w, 4, 1)
        leave = (
            field("unsigned long func", 8, w) + field("int depth", 8 + w, 4, 1) + field("unsigned int overrun", 12 + w, 4)
            + field("unsigned long long calltime", 16 + w, 8) + field("unsigned long long rettime", 24 + w, 8)
        )  # fmt: skip
        switch = (
            field("char prev_comm[16]", 8, 16) + field("pid_t prev_pid", 24, 4, 1) + field("int prev_prio", 28, 4, 1)
            + field("long prev_state", 32, w, 1) + field("char next_comm[16]", 32 + w, 16) + field("pid_t next_pid", 48 + w, 4, 1)
            + field("int next_prio", 52 + w, 4, 1)
        )  # fmt: skip
        wake = field("int value", 8, 4, 1) + field("__data_loc char[] name", 12, 4) + field("u32 flags", 16, 4)
        return [
            ("ftrace", event_format("funcgraph_entry", ENTRY, entry, '"--> %ps (%d)", (void *)REC->func, REC->depth')),
            ("ftrace", event_format("funcgraph_exit", EXIT, leave, '"<-- %ps (%d)", (void *)REC->func, REC->depth')),
            (
                "sched",
                event_format(
                    "sched_switch",
                    SWITCH,
                    switch,
                    '"prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s%s ==> next_comm=%s next_pid=%d next_prio=%d", REC->prev_comm, '
                    'REC->prev_pid, REC->prev_prio, (REC->prev_state & 255) ? __print_flags(REC->prev_state & 255, "|", { 0x00000001, "S" }, '
                    '{ 0x00000002, "D" }) : "R", REC->prev_state & 256 ? "+" : "", REC->next_comm, REC->next_pid, REC->next_prio',
                ),
            ),
            (
                "demo",
                event_format(
                    "wake",
                    WAKE,
                    wake,
                    '"value=%d name=%s flags=%s", REC->value, __get_str(name), __print_flags(REC->flags, "|", {1, "A"}, {4, "C"})',
                ),
            ),
        ]

    def common(self, number: int, pid: int, flags: int = 0, preempt: int = 0) -> bytes:
        return struct.pack(f"{self.order}HBBi", number, flags, preempt, pid)

    def entry(self, pid: int, function: str, depth: int) -> bytes:
        return self.common(ENTRY, pid) + struct.pack(f"{self.order}{self.address_code}i", self.address(function), depth)

    def leave(self, pid: int, function: str, depth: int, called: int, returned: int) -> bytes:
        code = f"{self.order}{self.address_code}iIQQ"
        return self.common(EXIT, pid) + struct.pack(code, self.address(function), depth, 0, called, returned)

    def switch(self, before: tuple[str, int], after: tuple[str, int], state: int = 1) -> bytes:
        (prev, prev_pid), (new, new_pid) = before, after
        code = f"{self.order}16sii{'q' if self.long_bytes == 8 else 'i'}16sii"
        values = (prev.encode(), prev_pid, 120, state, new.encode(), new_pid, 120)
        return self.common(SWITCH, prev_pid, flags=1, preempt=2) + struct.pack(code, *values)

    def wake(self, pid: int, value: int, name: str, flags: int = 0) -> bytes:
        text = name.encode() + b"\0"
        return self.common(WAKE, pid) + struct.pack(f"{self.order}iII", value, len(text) << 16 | 20, flags) + text

    def tables(self, comms: bytes = b"10 bash\n11 cat\n", cpus: int = 2) -> Tables:
        size = self.long_bytes
        header = (
            f"\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\tfield: local_t commit;\toffset:8;\tsize:{size};\tsigned:1;\n"
            f"\tfield: char data;\toffset:{8 + size};\tsize:{4096 - 8 - size};\tsigned:1;\n"
        )
        kallsyms = KALLSYMS if size == 8 else KALLSYMS.replace(b"ffffffff81", b"81")
        return Tables(
            order=self.order, long_bytes=size, page_bytes=4096, header_page=header.encode(), header_event=b"# compressed entry header\n",
            formats=self.formats(), kallsyms=kallsyms, comms=comms, uname="Linux host 6.12.0 x86_64", cpu_count=cpus,
        )  # fmt: skip

    def pages(self, records: list[tuple[int, bytes]]) -> list[bytes]:
        maker = PageMaker(self.order, self.long_bytes)
        made = [page for time_ns, data in records if (page := maker.add(time_ns, data))]
        last = maker.take()
        return [*made, last] if last else made

    def write(self, path: Path, *cpus: list[tuple[int, bytes]], version: int = 7, compression: str = "none") -> Path:
        buffers = [("", [(cpu, self.pages(records)) for cpu, records in enumerate(cpus)])]
        write_trace(str(path), self.tables(cpus=len(cpus)), buffers, version=version, compression=compression)
        return path

    def sample(self) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
        """A call with a leaf inside on CPU 0, a switch in between; events on CPU 1."""
        first = [
            (1_000_000_000, self.entry(10, "ksys_read", 0)),
            (1_000_001_000, self.entry(10, "vfs_read", 1)),
            (1_000_002_000, self.entry(10, "rw_verify_area", 2)),
            (1_000_002_500, self.leave(10, "rw_verify_area", 2, 1_000_002_000, 1_000_002_500)),
            (1_000_003_000, self.switch(("bash", 10), ("cat", 11))),
            (1_000_023_000, self.leave(10, "vfs_read", 1, 1_000_001_000, 1_000_023_000)),
            (1_000_024_000, self.leave(10, "ksys_read", 0, 1_000_000_000, 1_000_024_000)),
        ]
        second = [
            (1_000_001_500, self.wake(11, -3, "one", 5)),
            (1_000_030_000, self.wake(0, 7, "two", 8)),
            (9_000_000_000, self.wake(99, 8, "", 0)),
        ]
        return first, second
