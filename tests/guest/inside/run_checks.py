"""Run checks inside a guest and write one JSON line for each: ``{"name", "status", "detail", "seconds"}``.

    python3 tests/guest/inside/run_checks.py [NAME ...]

``status`` is ``pass``, ``fail`` or ``skip``. Each check runs in a child of its own, so that what it breaks or
leaves open ends with it, while Python starts only once. What checks print goes to standard error.
"""

import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
from types import ModuleType

from reporting import LIMIT_S, Skip, list_checks

DETAIL_BYTES = 20_000


def main() -> int:
    """Run the named checks, or all; 1 if one failed."""
    known = list_checks()
    wanted = sys.argv[1:] or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"no such check: {', '.join(unknown)}", file=sys.stderr)
        return 2
    modules: dict[str, ModuleType | str] = {}
    failed = False
    for name in wanted:
        stem = name.partition(".")[0]
        if stem not in modules:
            modules[stem] = load_module(f"check_{stem}")
        started = time.monotonic()
        module = modules[stem]
        status, detail = ("fail", module) if isinstance(module, str) else run_apart(module, name)
        seconds = round(time.monotonic() - started, 2)
        print(json.dumps({"name": name, "status": status, "detail": detail, "seconds": seconds}), flush=True)
        failed = failed or status == "fail"
    return int(failed)


def load_module(name: str) -> ModuleType | str:
    """Give the module, or why it cannot be imported."""
    try:
        return importlib.import_module(name)
    except BaseException:
        return traceback.format_exc()


def run_apart(module: ModuleType, name: str) -> tuple[str, str]:
    """Run one check in a child and give its status and detail."""
    check = getattr(module, f"check_{name.partition('.')[2]}")
    limit_s = getattr(check, "limit_s", LIMIT_S)
    read_fd, write_fd = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(read_fd)
        os.setpgid(0, 0)
        os.dup2(2, 1)
        status, detail = judge(check)
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(write_fd, json.dumps([status, detail[-DETAIL_BYTES:]]).encode())
        os._exit(0)
    os.close(write_fd)
    answer = b""
    ready = select.select([read_fd], [], [], limit_s)[0]
    if ready:
        answer = os.read(read_fd, 1 << 20)
    # Whatever the check left running ends now, and so does a check over its time.
    for pid in (child, -child):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.close(read_fd)
    _, wait_status = os.waitpid(child, 0)
    if answer:
        status, detail = json.loads(answer)
        return status, detail
    if not ready:
        return "fail", f"still running after {limit_s:.0f} s"
    return "fail", f"its process ended with status {os.waitstatus_to_exitcode(wait_status)} and said nothing"


def judge(check: object) -> tuple[str, str]:
    """Call a check."""
    assert callable(check)
    try:
        check()
    except Skip as skip:
        return "skip", str(skip)
    except BaseException:
        return "fail", traceback.format_exc()
    return "pass", ""


if __name__ == "__main__":
    sys.exit(main())
