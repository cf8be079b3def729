"""The numbers of trace.dat: options, sections and flags.

Source: trace-cmd's documentation of its file formats (trace-cmd.dat.v6(5), trace-cmd.dat.v7(5)).
"""

from __future__ import annotations

MAGIC = b"\x17\x08\x44tracing"
OPTIONS_WORD, RECORD_WORD, LATENCY_WORD = b"options  \0", b"flyrecord\0", b"latency  \0"
# Options, and in version 7 sections. Those of one file part are the same in both.
DONE, DATE, CPUSTAT, BUFFER, CLOCK, UNAME, HOOK, OFFSET, CPUCOUNT, VERSION, PROCMAPS, TRACE_ID = range(12)
TIME_SHIFT, GUEST, TSC_TO_NS, STRINGS, HEADERS, FTRACE_EVENTS, EVENT_FORMATS, KALLSYMS, PRINTK, CMDLINES = range(12, 22)
BUFFER_TEXT, BTF, LAST_BOOT, MODULES = range(22, 26)
COMPRESSED = 1  # flag of a section
MOST_CPUS = 1 << 16
NAMES = {
    DATE: "date", CPUSTAT: "cpustat", BUFFER: "buffer", CLOCK: "clock", UNAME: "uname", HOOK: "hook", OFFSET: "offset",
    CPUCOUNT: "cpus", VERSION: "version", PROCMAPS: "memory maps", TRACE_ID: "trace id", TIME_SHIFT: "time shift",
    GUEST: "guest", TSC_TO_NS: "tsc", STRINGS: "strings", HEADERS: "page headers", FTRACE_EVENTS: "tracer events",
    EVENT_FORMATS: "event formats", KALLSYMS: "symbols", PRINTK: "printk formats", CMDLINES: "task names",
    BUFFER_TEXT: "latency text", BTF: "BTF", LAST_BOOT: "last boot", MODULES: "modules",
}  # fmt: skip
