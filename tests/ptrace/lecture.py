"""The lecture's programs, letter by letter."""

from pathlib import Path

FOO = "#!/bin/bash\n\necho x > x\ncat x\n"
READER = """#!/bin/env bpftrace

tracepoint:syscalls:sys_enter_read /comm=="foo"/
{
        printf("hello read(%d, %s, %zu) %s/%d [%s] [%s]\\n",
                args->fd, str(args->buf), args->count, comm, pid, kstack, ustack);
}
"""


def lecture_files(folder: Path) -> tuple[str, str]:
    """Writes foo and tracepoint_read.bp; their paths."""
    for name, text in (("foo", FOO), ("tracepoint_read.bp", READER)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return str(folder / "foo"), str(folder / "tracepoint_read.bp")
