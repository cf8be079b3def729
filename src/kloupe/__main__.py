"""The command `kloupe`. Imports as little as it can: the option decides what is loaded."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> int:
    """Run the command with these arguments (without the program's name); gives its exit status."""
    from .cli.command import run_command

    return run_command(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
