"""uprobe, uretprobe and usdt in followed processes, and what is left of them afterwards."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from following import CALLS, MARKED, THREADS, build, changed_code, follow, kloupe_words, lines_with, run

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


def test_a_library_that_is_loaded_again_in_its_old_place_has_them_again(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    library = build(tmp_path / "own", "int seven(int n) { return n * 7; }", "-shared", "-fPIC")
    code = f"import ctypes, _ctypes\nfor n in range(4):\n lib = ctypes.CDLL('{library}')\n print(lib.seven(n))\n _ctypes.dlclose(lib._handle)\n"
    script = f"uprobe:{library}:seven {{ @ = count(); }} uretprobe:{library}:seven {{ @sum = sum(retval); }}"
    out = follow(f'{sys.executable} -c "{code}"', script)
    assert out.split() == ["0", "7", "14", "21", "@:", "4", "@sum:", "42"]


def test_threads_that_are_seen_before_their_makers_say_so_lose_no_return(tmp_path: Path) -> None:
    """Some of 400 short threads run, and call the function, before the kernel reports their creation."""
    source = THREADS.replace("t[4]", "t[400]").replace("i < 4", "i < 400").replace("total[4]", "total[400]")
    program = build(tmp_path, source)
    script = (
        f"uprobe:{program}:leaf {{ @ = count(); }} uretprobe:{program}:leaf {{ @r = count(); }}"
        "tracepoint:syscalls:sys_exit_clone,tracepoint:syscalls:sys_exit_clone3 { if (args.ret == 0) { @born = count(); } else { @made = count(); } }"
    )
    out = follow(f"{program} 2", script)
    assert lines_with(out, "@") == ["@: 800", "@born: 400", "@made: 400", "@r: 800"]


def test_markers_and_their_semaphore(tmp_path: Path) -> None:
    program = build(tmp_path, MARKED, "-O1")
    out = follow(program, f'usdt:{program}:shop:sale {{ printf("sold %d\\n", arg0); }}')
    assert lines_with(out, "sold") == ["sold 40", "sold 41", "sold 42"]


def test_a_marker_in_a_running_process_is_told_that_somebody_looks(tmp_path: Path) -> None:
    """The semaphore counts who looks: it goes up at the attach and down at the end."""
    loop = '#include <stdio.h>\nint main(void) { while (getchar() != EOF) { printf("%d\\n", gate); fflush(stdout); fire(7); } return gate; }'
    program = build(tmp_path, MARKED[: MARKED.index("int main")] + loop, "-O1")
    child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=0)
    assert child.stdin is not None and child.stdout is not None

    def gate() -> str:
        child.stdin.write("x")  # type: ignore[union-attr]
        return child.stdout.readline().strip()  # type: ignore[union-attr]

    assert gate() == "0"
    words = kloupe_words("-p", str(child.pid), "-e", f'usdt:{program}:shop:sale {{ printf("sold %d\\n", arg0); }}')
    tracer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    for _ in range(400):
        if gate() == "1":
            break
        time.sleep(0.02)
    assert gate() == "1"
    assert tracer.stdout is not None and tracer.stdout.readline() == "sold 7\n"
    tracer.send_signal(2)
    tracer.communicate(timeout=20)
    assert gate() == "0"
    child.stdin.close()
    assert child.wait(20) == 0


def test_breakpoints_are_gone_after_the_end(tmp_path: Path) -> None:
    program = build(tmp_path, THREADS, "-O1", "-fno-inline")
    child = subprocess.Popen([program, "1000000"], stdout=subprocess.PIPE, text=True)
    script = f"uprobe:{program}:leaf,uretprobe:{program}:fact {{ @ = count(); }} interval:ms:300 {{ exit(); }}"
    done = run(kloupe_words("-p", str(child.pid), "-e", script))
    assert done.returncode == 0
    assert int(re.search(r"@: (\d+)", done.stdout)[1]) > 100  # type: ignore[index]
    assert changed_code(child.pid, program) == []
    assert "TracerPid:\t0" in Path(f"/proc/{child.pid}/status").read_text()
    assert child.communicate(timeout=60)[0].count(" ") == 3
    assert child.wait(60) == 7
