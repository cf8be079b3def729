"""Which signals were ignored when this process began: nohup(1) and shells without job control ask for that, and commands that we run inherit it."""

from __future__ import annotations

import signal

# To be imported by whatever changes how a signal is handled, so that this is known before.
IGNORED_AT_START = frozenset(
    number
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    if signal.getsignal(number) is signal.SIG_IGN
)
