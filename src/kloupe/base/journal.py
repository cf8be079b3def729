"""The journal of one run of a program: what it saw, as a recording compiler makes programs send it and as recordings keep it.

A record of the machine's byte order:

    u32  id of the event (in a file: the record's length)   u32  number of the program
    u64  CLOCK_MONOTONIC nanoseconds at its start
    u64  process << 32 | thread      u64  group << 32 | user
    u64  address of the task_struct  u64  cgroup id (0: the kernel does not tell)   16 bytes  command name
    u32  CPU    u16  bytes of context    u16  flags (1: there was no room for all entries; 2: the context is cut)
    u64  cookie of the attach point
    u64  address of the context
    the context, padded to 8 bytes
    entries: u16 helper (its number), u16 limit of a text read, u32 bytes of data, u64 key, s64 result, data padded to 8 bytes

An entry is one call of a helper whose answer the program cannot know: a read of memory (key: the address), a stack (key: flags, and
above them the number of the stack map), a clock.
"""

from __future__ import annotations

HEADER_FORMAT = "IIQQQQQ16sIHHQQ"
ENTRY_FORMAT = "HHIQq"
HEADER_BYTES, ENTRY_BYTES = 88, 24

PROGRAM, TIME, TASK, UID_GID, TASK_ADDRESS, CGROUP, COMM = 4, 8, 16, 24, 32, 40, 48
CPU, CONTEXT_SIZE, FLAGS, COOKIE, CONTEXT_ADDRESS = 64, 68, 70, 72, 80
IDENTITY = slice(16, 68)  # the bytes that tell the task and the CPU

FULL, CUT = 1, 2  # flags
MAP_SHIFT = 32  # of the stack map's number in a key

LARGEST_CONTEXT = 1024
LARGEST_DATA = 2048
LARGEST_RECORD = 8184
EVENT_KIND = "journal"  # of the EventSpec; its parameter `stack_maps` names the stack maps by number
