"""Small programs that tests compile, with a skip where there is no compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = """
#include <stdio.h>
#include <stdbool.h>
enum color { RED, BLUE = 7 };
struct inner { int a : 3; unsigned b : 7; long c; };
struct node {
  struct node *next; char name[16]; struct inner in; union { int x; float y; };
  int m[2][3]; enum color col; bool ok; int (*cb)(int, struct node *);
};
typedef struct node node_t;
int visit(node_t *first, const char *text, unsigned char flags, ...) {
  printf("%s %d\\n", text, flags);
  return first ? first->m[0][1] : 0;
}
static int helper(struct inner by_value, double d) { return by_value.a + (int)d; }
int counter = 3;
int main(void) { struct node n = {0}; n.in.c = helper(n.in, 2.0); return visit(&n, "hi", 3); }
"""

# What <sys/sdt.h> would emit: a note with a semaphore, for a nop in a function.
PROBES = """
__asm__(".pushsection .probes,\\"aw\\",@progbits\\n.global gate\\ngate: .short 0\\n.popsection\\n"
        ".pushsection .stapsdt.base,\\"aG\\",@progbits,.stapsdt.base,comdat\\n.weak _.stapsdt.base\\n"
        ".hidden _.stapsdt.base\\n_.stapsdt.base: .space 1\\n.size _.stapsdt.base,1\\n.popsection\\n");
int fire(int a) {
  __asm__ volatile("990: nop\\n.pushsection .note.stapsdt,\\"\\",\\"note\\"\\n.balign 4\\n"
    ".4byte 992f-991f,994f-993f,3\\n991: .asciz \\"stapsdt\\"\\n992: .balign 4\\n"
    "993: .8byte 990b\\n.8byte _.stapsdt.base\\n.8byte gate\\n"
    ".asciz \\"shop\\"\\n.asciz \\"sale\\"\\n.asciz \\"-4@%%edi 8@-16(%%rbp,%%rax,8) 4@$-5\\"\\n"
    "994: .balign 4\\n.popsection\\n" ::: "memory");
  return a;
}
int main(void) { return fire(1); }
"""


def build(folder: Path, name: str, source: str, *flags: str) -> str:
    """Compile C text; the path of the program."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    (folder / f"{name}.c").write_text(source)
    done = subprocess.run(
        [compiler, *flags, "-o", str(folder / name), f"{name}.c"], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"the compiler refuses: {done.stderr[:200]}")
    return str(folder / name)
