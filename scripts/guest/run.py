#!/usr/bin/env python3
"""Run a command inside guests with real distribution kernels.

    python3 scripts/guest/run.py --kernel 6.1 --kernel 7.3 -- python3 -m kloupe --version

The command runs as root in /kloupe, a copy of the project as it is now, with the project on PYTHONPATH and
tracefs, debugfs, bpffs and cgroup2 mounted. What it puts into /results comes back with --results.
"""

import argparse
import sys
from pathlib import Path

from kloupe_guest import GuestError, GuestRun, run_guest
from kloupe_guest.job import Job, parse_extra
from kloupe_guest.kernel import SUITES, fetch_kernel
from kloupe_guest.rootfs import build_root

HARNESS_FAILED = 125


def main() -> int:
    """Give the first exit status that is not 0, or 125 if the harness itself failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kernel", action="append", metavar="VERSION[@SUITE]",
        help=f"{', '.join(SUITES)}, or one of the backports such as 7.3; may be given several times",
    )  # fmt: skip
    parser.add_argument("--with-bpftrace", action="store_true", help="a root with bpftrace 0.27, bpftool, trace-cmd")
    parser.add_argument("--root-extra", action="append", default=[], metavar="DIR[:PLACE]", help="put DIR at PLACE")
    parser.add_argument("--pip", action="append", default=[], metavar="REQUIREMENT", help="one more Python package")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="set in the guest")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="for the command (600)")
    parser.add_argument("--memory", type=int, default=2048, metavar="MIB", help="of the guest (2048)")
    parser.add_argument("--results", type=Path, metavar="DIR", help="gets the guest's /results, per kernel")
    parser.add_argument("--refresh", action="store_true", help="fetch and build anew instead of using the cache")
    parser.add_argument("--prepare", action="store_true", help="only fetch and build; run nothing")
    parser.add_argument("command", nargs="*", metavar="COMMAND")
    args = parser.parse_args()
    kernels = args.kernel or ["6.1"]
    if not args.command and not (args.prepare or args.refresh):
        parser.error("no command to run")
    try:
        if args.prepare or args.refresh:
            prepare(kernels, with_bpftrace=args.with_bpftrace, refresh=args.refresh)
        job = Job(
            command=args.command,
            timeout_s=args.timeout,
            env=dict(pair.partition("=")[::2] for pair in args.env),
            extra=[parse_extra(text) for text in args.root_extra],
            requirements=args.pip,
        )
        statuses: list[int] = []
        if not args.command:
            return 0
        for kernel in kernels:
            results = args.results / kernel if args.results else None
            run = GuestRun(kernel, args.with_bpftrace, args.memory, results=results)
            outcome = run_guest(run, job, pass_on)
            ended = "died" if outcome.status is None else f"exit status {outcome.status}"
            say(f"{kernel} ({outcome.release}): {ended}, boot {outcome.boot_s:.1f} s, all {outcome.total_s:.1f} s")
            statuses.append(HARNESS_FAILED if outcome.status is None else outcome.status)
    except GuestError as error:
        say(str(error))
        return HARNESS_FAILED
    except KeyboardInterrupt:
        return 130
    return next((status for status in statuses if status), 0)


def prepare(kernels: list[str], *, with_bpftrace: bool, refresh: bool) -> None:
    """Fill the cache."""
    root = build_root(with_bpftrace=with_bpftrace, refresh=refresh)
    for version in kernels:
        say(f"{version}: {fetch_kernel(version, root, refresh=refresh).release} is ready")


def pass_on(stream: str, content: bytes) -> None:
    """Write what the guest's command wrote to the same stream here."""
    target = sys.stdout.buffer if stream == "stdout" else sys.stderr.buffer
    target.write(content)
    target.flush()


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(f"guest: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
