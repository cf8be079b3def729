"""Run commands on real distribution kernels under QEMU, for kloupe's tests.

Needs a Debian-like amd64 host with apt, dpkg-deb, tar, mke2fs and qemu-system-x86_64, and no privilege.
``scripts/guest/run.py`` is the command; ``run_guest`` is the same as a function.
"""

from kloupe_guest.errors import GuestError
from kloupe_guest.guest import GuestRun, Outcome, run_guest

__all__ = ["GuestError", "GuestRun", "Outcome", "run_guest"]
