"""Mutated scripts through the whole compiler: nothing but its own errors comes out, and it always comes to an end.

``KLOUPE_FUZZ_ROUNDS`` sets how many (400 by default), ``KLOUPE_FUZZ_SEED`` where to begin, and ``KLOUPE_FUZZ_FOLDER`` a folder with
more scripts to start from.
"""

import os
import random
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[1] / "cases"))

from bare_target import BareTarget
from casefile import read_cases

from kloupe.base.errors import InternalError, KloupeError
from kloupe.base.source import Source
from kloupe.codegen.pipeline import compile_script
from kloupe.imagefile import to_bytes

ROUNDS = int(os.environ.get("KLOUPE_FUZZ_ROUNDS", "400"))
SEED = int(os.environ.get("KLOUPE_FUZZ_SEED", "1"))
LIMIT_S = 10
WORD = re.compile(r"\$\w+|@\w*|\w+|\"[^\"]*\"|\s+|.", re.S)


def seeds() -> list[list[str]]:
    """The scripts to start from, as words."""
    texts = [case.script for file in ("run.txt", "errors.txt") for case in read_cases(file)]
    folder = os.environ.get("KLOUPE_FUZZ_FOLDER")
    if folder:
        texts += [path.read_text(errors="replace") for path in sorted(Path(folder).rglob("*.bt"))]
    return [WORD.findall(text) for text in texts]


def mutated(words: list[str], others: list[list[str]], rng: random.Random) -> str:
    """A script with a few words dropped, doubled, swapped, replaced or broken."""
    words = list(words)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if not words:
            break
        at = rng.randrange(len(words))
        donor = rng.choice(others)
        kind = rng.randrange(7)
        if kind == 0:
            del words[at]
        elif kind == 1:
            words.insert(at, rng.choice(donor) if donor else "")
        elif kind == 2:
            words[at] = rng.choice(donor) if donor else ""
        elif kind == 3:
            other = rng.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        elif kind == 4:
            words[at] = rng.choice(
                ["0", "-1", "18446744073709551615", "9223372036854775808", '""', "(", ")", "{", "}", "[", "]"]
            )
        elif kind == 5 and donor:
            start = rng.randrange(len(donor))
            words[at:at] = donor[start : start + rng.randint(1, 12)]
        else:
            text = words[at]
            cut = rng.randrange(len(text) + 1)
            words[at] = text[:cut] + chr(rng.choice([0, 10, 34, 92, 127, 233, 0xFFFD])) + text[cut:]
    return "".join(words)


@contextmanager
def time_limit() -> Iterator[None]:
    """Fails what takes longer than LIMIT_S."""

    def expired(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("the compiler did not come to an end")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_only_errors_of_our_own() -> None:
    rng = random.Random(SEED)
    corpus = seeds()
    compiled = 0
    for _ in range(ROUNDS):
        script = mutated(rng.choice(corpus), corpus, rng)
        try:
            with time_limit():
                image = compile_script(Source("fuzz", script), BareTarget()).image
                assert image is not None
                to_bytes(image)
                compiled += 1
        except InternalError as error:
            raise AssertionError(f"{error}\n{script}") from error
        except KloupeError:
            continue
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\n{script}") from error
    assert compiled > ROUNDS // 50
