"""The one exception of the guest harness, and running host programs so that their failures become it."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class GuestError(Exception):
    """The harness cannot do what was asked; the message says why and what to do."""


def run_program(
    argv: Sequence[str | os.PathLike[str]],
    *,
    needs: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a host program and give its standard output.

    ``needs`` names the Debian package that has the program, for the message when it is missing.
    """
    words = [os.fspath(word) for word in argv]
    try:
        done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=env, check=False)
    except FileNotFoundError as error:
        raise GuestError(f"{words[0]} is not installed: apt-get install {needs}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
        raise GuestError(f"{words[0]} failed with status {done.returncode}: {' | '.join(said[-3:])}")
    return done.stdout
