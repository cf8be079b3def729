"""What the tests of the ptrace engine share: the command, programs to follow, and ways to lose privileges."""

import shutil
import subprocess
import sys
from pathlib import Path

from layers import cannot_run

THREADS = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
volatile long total[4];
int __attribute__((noinline)) leaf(int n) { return n * 3 + 1; }
int __attribute__((noinline)) fact(int n) { return n < 2 ? 1 : n * fact(n - 1); }
static int rounds;
void *run(void *p) {
  long i = (long)p;
  for (int k = 0; k < rounds; k++) { total[i] += leaf(k) + fact(3); if (k % 64 == 0) usleep(100); }
  return 0;
}
int main(int c, char **v) {
  rounds = atoi(v[1]);
  pthread_t t[4];
  for (long i = 0; i < 4; i++) pthread_create(&t[i], 0, run, (void *)i);
  for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
  printf("%ld %ld %ld %ld\n", total[0], total[1], total[2], total[3]);
  return 7;
}
"""

CALLS = r"""
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>
int __attribute__((noinline)) deep(int n) { char b[4]; if (n) { int r = deep(n - 1); return r + 1; } return read(n, b, 4); }
int main(void) {
  if (!fork()) _exit(deep(2) & 1);
  int status; wait(&status);
  return deep(4) & 0;
}
"""

MARKED = r"""
__attribute__((section(".probes"))) unsigned short gate;
__asm__(".pushsection .stapsdt.base,\"aG\",@progbits,.stapsdt.base,comdat\n.weak _.stapsdt.base\n"
        ".hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n.size _.stapsdt.base,1\n.popsection\n");
int __attribute__((noinline)) fire(int a) {
  __asm__ volatile("990: nop\n.pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n"
    ".4byte 992f-991f,994f-993f,3\n991: .asciz \"stapsdt\"\n992: .balign 4\n"
    "993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte gate\n"
    ".asciz \"shop\"\n.asciz \"sale\"\n.asciz \"-4@%%edi\"\n"
    "994: .balign 4\n.popsection\n" :: "D"(a) : "memory");
  return a;
}
int main(void) { for (int i = 0; i < 3; i++) fire(40 + i); return gate; }
"""


STEADY = r"""
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
volatile int stop;
int __attribute__((noinline)) leaf(int n) { return n * 3 + 1; }
int __attribute__((noinline)) fact(int n) { return n < 2 ? 1 : n * fact(n - 1); }
void *run(void *p) {
  long wrong = 0;
  for (int n = 0; !stop; n = (n + 1) & 7) {
    if (leaf(n) != n * 3 + 1 || fact(5) != 120) wrong++;
    usleep(100);
  }
  *(long *)p = wrong;
  return 0;
}
int main(void) {
  pthread_t t[3];
  long wrong[3], failed = 0;
  for (int i = 0; i < 3; i++) pthread_create(&t[i], 0, run, &wrong[i]);
  struct pollfd end = {0, POLLIN, 0};
  while (poll(&end, 1, 5) == 0) {
    int status, child = fork();
    if (!child) _exit(fact(4) + leaf(1));
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 28) failed++;
  }
  stop = 1;
  for (int i = 0; i < 3; i++) pthread_join(t[i], 0);
  printf("wrong %ld %ld %ld failed %ld\n", wrong[0], wrong[1], wrong[2], failed);
  return 7;
}
"""


def kloupe_words(*arguments: str) -> list[str]:
    """The command line of the ptrace engine."""
    return [sys.executable, "-m", "kloupe", "-q", "--engine", "ptrace", *arguments]


def follow(command: str, script: str, *arguments: str, **options: object) -> str:
    """Run the script on the command; what both print. Fails on messages and on a bad status."""
    done = run(kloupe_words("-c", command, "-e", script, *arguments), **options)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def run(words: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=120, check=False, **options)  # type: ignore[call-overload, no-any-return]


def lines_with(text: str, *words: str) -> list[str]:
    """The lines that begin with one of the words."""
    return [line for line in text.splitlines() if line.startswith(words)]


def build(folder: Path, source: str, *flags: str) -> str:
    """Compile C text; the program's path. Skips without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        cannot_run("needs a C compiler")
    (folder / "program.c").write_text(source)
    done = run([compiler, "-pthread", *flags, "-o", str(folder / "program"), str(folder / "program.c")])
    if done.returncode:
        cannot_run(f"the compiler refuses: {done.stderr[:200]}")
    return str(folder / "program")


BARE = (
    "mount --make-rprivate / && mount -t tmpfs none /sys/kernel && exec unshare --user --map-user=1000 --map-group=1000 "
    'setpriv --no-new-privs -- "$@"'
)


def without_privileges(*words: str) -> list[str]:
    """The words run by user 1000 in a bare container: namespaces of its own for users, processes and mounts; no capabilities, nothing below
    /sys/kernel (so no tracefs and no types of the kernel), and no way to gain privileges."""
    outside = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc")
    prefix = [*outside, "sh", "-c", BARE, "bare"]
    if not shutil.which("unshare") or not shutil.which("setpriv") or run([*prefix, "true"]).returncode:
        cannot_run("cannot make namespaces here")
    return [*prefix, *words]


def changed_code(pid: int, program: str) -> list[int]:
    """The file offsets where a process's code is not what the program's file holds: breakpoints that were left."""
    data = Path(program).read_bytes()
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        place, flags, offset = line.split()[:3]
        if line.endswith(program) and "x" in flags:
            start, end = (int(part, 16) for part in place.split("-"))
            with open(f"/proc/{pid}/mem", "rb") as memory:
                memory.seek(start)
                found = memory.read(end - start)
            at = int(offset, 16)
            kept = data[at : at + end - start].ljust(end - start, b"\0")
            return [at + index for index in range(end - start) if found[index] != kept[index]]
    raise AssertionError("the program is not mapped")
