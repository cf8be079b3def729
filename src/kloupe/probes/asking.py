"""One question of a probe kind to the script and the target, and the reports that all kinds share."""

from __future__ import annotations

from collections.abc import Iterable

from ..base.diag import Diagnostics, did_you_mean
from ..base.record import record
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from .model import ProbeOptions


@record(frozen=True, eq=False)
class Asking:
    """An attach point of kind `kind` (its canonical name) with everything its expansion may use."""

    kind: str
    ap: AttachPoint
    target: Target
    options: ProbeOptions
    diagnostics: Diagnostics

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts after the provider."""
        return self.ap.parts

    def error(self, message: str, *, hints: Iterable[str] = ()) -> None:
        """Report an error at the attach point."""
        self.diagnostics.error(self.ap.span, message, hints=hints)

    def warn(self, message: str) -> None:
        """Report a warning at the attach point."""
        self.diagnostics.warning(self.ap.span, message)

    def check_count(self, *allowed: int) -> bool:
        """True when the number of parts is one of `allowed`; the message names the first and the last."""
        found = len(self.parts)
        if found in allowed:
            return True
        wanted = str(allowed[0]) if len(allowed) == 1 else f"{allowed[0]} or {allowed[-1]}"
        self.error(f"{self.kind} probe type requires {wanted} arguments, found {found}")
        return False

    def report_missing(self, what: str, known: Iterable[str] = (), *, hints: tuple[str, ...] = ()) -> None:
        """Say that `what` (without wildcards) matches nothing, as the `missing_probes` setting wants it; `known`: near names."""
        message = f"No matches for {self.kind} {what}"
        if self.options.missing_probes == "warn":
            self.warn(f"{message}. Skipping.")
        elif self.options.missing_probes == "error":
            self.error(f"{message}.", hints=hints or did_you_mean(what.rsplit(":", 1)[-1], known))
