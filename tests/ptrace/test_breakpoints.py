"""uprobe, uretprobe and usdt in followed processes, and what is left of them afterwards."""

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from following import CALLS, MARKED, THREADS, build, follow, kloupe_words, lines_with, run

from kloupe.binfmt.elf import Elf
from kloupe.kernel.binary import ElfBinary

FOUR = "61100 61100 61100 61100"


@pytest.mark.parametrize("flags", [("-O0",), ("-O1", "-fcf-protection=none", "-fomit-frame-pointer"), ("-O2",)])
def test_every_call_counts_in_every_thread(tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = build(tmp_path, THREADS, *flags, "-fno-inline", "-fno-ipa-cp", "-fno-optimize-sibling-calls")
    script = (
        f"uprobe:{program}:leaf {{ @leaf = count(); @args = sum(arg0); }} uretprobe:{program}:leaf {{ @back = sum(retval); }}"
        f"uprobe:{program}:run {{ @runs = count(); }} uretprobe:{program}:main {{ @status = retval; }}"
    )
    out = follow(f"{program} 200", script)
    assert FOUR in out
    assert lines_with(out, "@") == ["@args: 79600", "@back: 239600", "@leaf: 800", "@runs: 4", "@status: 7"]


def test_recursion_returns_in_order(tmp_path: Path) -> None:
    program = build(tmp_path, CALLS, "-O1", "-fno-optimize-sibling-calls")
    script = f"uprobe:{program}:deep {{ @in[arg0] = count(); }} uretprobe:{program}:deep {{ @out[retval] = count(); }}"
    out = lines_with(follow(program, script, stdin=-3), "@")
    # the child calls deep(2), its parent deep(4); the innermost read gives 0
    assert sorted(out) == [
        *("@in[0]: 2", "@in[1]: 2", "@in[2]: 2", "@in[3]: 1", "@in[4]: 1"),
        *("@out[0]: 2", "@out[1]: 2", "@out[2]: 2", "@out[3]: 1", "@out[4]: 1"),
    ]


def test_libraries_get_their_breakpoints_when_they_are_mapped() -> None:
    script = 'uprobe:libc:setlocale /comm == "ls"/ { @ = count(); } uretprobe:libc:setlocale /comm == "ls"/ { @r = count(); }'
    out = follow("sh -c 'ls / >/dev/null; ls / > /dev/null'", script)
    counts = [line.split(": ")[1] for line in lines_with(out, "@")]
    assert len(counts) == 2 and counts[0] == counts[1] and int(counts[0]) >= 2


def test_markers_and_their_semaphore(tmp_path: Path) -> None:
    program = build(tmp_path, MARKED, "-O1")
    out = follow(program, f'usdt:{program}:shop:sale {{ printf("sold %d\\n", arg0); }}')
    assert lines_with(out, "sold") == ["sold 40", "sold 41", "sold 42"]


def _memory_equals_file(pid: int, program: str, name: str) -> bool:
    with open(program, "rb") as file:
        binary = ElfBinary(Elf(file, program))
        symbol = binary.symbol(name)
        assert symbol is not None
        expected = binary.elf.read(symbol.file_offset, symbol.size)
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        place, flags, offset = line.split()[:3]
        start, end = (int(part, 16) for part in place.split("-"))
        at = symbol.file_offset - int(offset, 16) + start
        if line.endswith(program) and "x" in flags and start <= at < end:
            with open(f"/proc/{pid}/mem", "rb") as memory:
                memory.seek(at)
                return memory.read(symbol.size) == expected
    raise AssertionError("the program is not mapped")


def test_breakpoints_are_gone_after_the_end(tmp_path: Path) -> None:
    program = build(tmp_path, THREADS, "-O1", "-fno-inline")
    child = subprocess.Popen([program, "1000000"], stdout=subprocess.PIPE, text=True)
    script = f"uprobe:{program}:leaf,uretprobe:{program}:fact {{ @ = count(); }} interval:ms:300 {{ exit(); }}"
    done = run(kloupe_words("-p", str(child.pid), "-e", script))
    assert done.returncode == 0
    assert int(re.search(r"@: (\d+)", done.stdout)[1]) > 100  # type: ignore[index]
    assert _memory_equals_file(child.pid, program, "leaf")
    assert "TracerPid:\t0" in Path(f"/proc/{child.pid}/status").read_text()
    assert child.communicate(timeout=60)[0].count(" ") == 3
    assert child.wait(60) == 7


def test_a_killed_tracer_leaves_no_trace(tmp_path: Path) -> None:
    """More rounds: KLOUPE_KILLS=200."""
    program = build(tmp_path, THREADS, "-O1", "-fno-inline")
    dice = random.Random(5)
    script = (
        f"uprobe:{program}:leaf {{ @ = count(); }} uretprobe:{program}:fact {{ @r = count(); }}"
        "tracepoint:syscalls:sys_enter_clock_nanosleep { @c = count(); }"
    )
    for _ in range(int(os.environ.get("KLOUPE_KILLS", "4"))):
        child = subprocess.Popen([program, "1000000"], stdout=subprocess.PIPE, text=True)
        tracer = subprocess.Popen(
            kloupe_words("-p", str(child.pid), "-e", script), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(dice.uniform(0.2, 0.9))
        os.kill(tracer.pid, signal.SIGKILL)
        tracer.wait()
        out, _ = child.communicate(timeout=60)
        assert (child.returncode, len(out.split())) == (7, 4)
