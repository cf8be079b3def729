"""The one exception tree. Each class says whose fault it is, and so what the user can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .diag import Diagnostic


class KloupeError(Exception):
    """Root of every error that kloupe raises on purpose.

    `exit_status` is the status with which the command ends (bpftrace's: 1 for script and usage errors, 2 for
    bad `BPFTRACE_*` values and C parts, 255 for load and attach failures). `hint` says what to do, if known.
    """

    exit_status = 1

    def __init__(self, message: str, *, hint: str = "", exit_status: int | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if exit_status is not None:
            self.exit_status = exit_status


class UsageError(KloupeError):
    """The command line or an environment variable is wrong."""


class ScriptError(KloupeError):
    """The script is wrong; `diagnostics` (errors first, then warnings) say where and why."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], *, exit_status: int | None = None) -> None:
        super().__init__(diagnostics[0].message if diagnostics else "invalid script", exit_status=exit_status)
        self.diagnostics = diagnostics


class TargetError(KloupeError):
    """The machine cannot do it; the message names what is missing and `hint` what to do."""

    exit_status = 255


class NotSupported(TargetError):
    """This kernel or engine lacks the feature."""


class PermissionNeeded(TargetError):
    """The user lacks a privilege (a capability, root, read access)."""

    exit_status = 1


class MissingFacts(TargetError):
    """A fact is not to be had here: no tracefs, no BTF, no such symbol."""


class AttachError(TargetError):
    """The kernel refused an attach point."""


class VerifierError(KloupeError):
    """The kernel's verifier refused a program; `log` is its whole log and `program` the program's name."""

    exit_status = 255

    def __init__(self, message: str, *, program: str, log: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.program = program
        self.log = log


class FormatError(KloupeError):
    """Bytes of a file are not what their format promises; names the path and the offset."""

    def __init__(self, path: str, offset: int, message: str) -> None:
        super().__init__(f"{path}: offset {offset:#x}: {message}")
        self.path = path
        self.offset = offset


class MachineFault(KloupeError):
    """The user-space machine hit an illegal instruction or access; names the program and instruction."""

    exit_status = 255


class InternalError(KloupeError):
    """A fault of kloupe's own."""

    exit_status = 70
