"""Names of system calls where tracepoints and the tables of numbers differ.

Tracepoints are named after the function that serves the call. Sources: arch/x86/entry/syscalls/syscall_64.tbl, scripts/syscall.tbl.
"""

CALLS_OF_TRACEPOINTS = {
    "newstat": "stat",
    "newfstat": "fstat",
    "newlstat": "lstat",
    "newuname": "uname",
    "sendfile64": "sendfile",
    "umount": "umount2",
    "fadvise64_64": "fadvise64",
    "arm64_personality": "personality",
}
