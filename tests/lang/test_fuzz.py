"""Broken scripts: the front end answers with diagnostics, never with an exception of another kind, and never hangs."""

import os
import random
import time

from corpus import SCRIPTS

from kloupe.base.diag import Diagnostics, render_diagnostic
from kloupe.base.source import Source
from kloupe.cfront import no_kernel, parse_c
from kloupe.lang.dump import dump_tree
from kloupe.lang.parser import parse_defines, parse_program
from kloupe.lang.printer import format_source

ROUNDS = int(os.environ.get("KLOUPE_FUZZ_ROUNDS", "2000"))
SEED = int(os.environ.get("KLOUPE_FUZZ_SEED", "1"))
_WORDS = (
    "if else for while unroll let macro config import struct sizeof typeof comptime return $x @m 0x 1e 5ms .. -> ++ "
    "/* // \x00 é 💩 \udcff (((((((( {{{{{{{{"
)
PIECES = [
    "{",
    "}",
    " ",
    "\n",
    '"a"',
    "#define X X\n",
    "#if 1\n",
    *"()[];:,.?=<>!~+-*/%&|^#$@\"'\\_0a",
    *_WORDS.split(" "),
]


def mutate(text: str, random: random.Random) -> str:
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(text))
        end = min(len(text), at + random.randint(0, 8))
        other = random.choice(SCRIPTS)
        start = random.randint(0, len(other))
        piece = random.choice(
            ("", random.choice(PIECES), other[start : start + random.randint(0, 20)], text[at:end] * 2)
        )
        text = text[:at] + piece + text[end:]
    return text


def survive(text: str) -> None:
    source = Source("fuzz", text)
    diagnostics = Diagnostics()
    program = parse_program(source, diagnostics, ("1", "a:b"))
    if program.c_text is not None:
        parse_defines(parse_c(program.c_text, no_kernel(), diagnostics).defines)
    dump_tree(program)
    if not diagnostics.errors:
        format_source(source, diagnostics)
    for item in diagnostics.items:
        assert 0 <= item.span.start <= item.span.end
        render_diagnostic(item)


def test_mutations() -> None:
    chance = random.Random(SEED)
    for round_number in range(ROUNDS):
        text = mutate(chance.choice(SCRIPTS), chance)
        begin = time.perf_counter()
        try:
            survive(text)
        except Exception as error:
            raise AssertionError(f"round {round_number}: {text!r}") from error
        assert time.perf_counter() - begin < 5, text


def test_noise() -> None:
    chance = random.Random(SEED + 1)
    for _ in range(ROUNDS // 10):
        survive("".join(chance.choice(PIECES) for _ in range(chance.randint(0, 60))))
