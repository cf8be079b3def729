"""The `Symbolizer` of the machine at hand: kallsyms, and the mapped files of processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.errors import KloupeError

if TYPE_CHECKING:
    from ..kernel.binary import ElfBinary
    from ..kernel.kallsyms import Kallsyms
    from ..kernel.usersyms import UserSymbols


class MachineSymbols:
    """See `symbolize.Symbolizer`. Nothing is read before the first question; what cannot be read is not known."""

    def __init__(self, kallsyms: Kallsyms | None = None) -> None:
        self._kallsyms = kallsyms
        self._kernel_readable = True
        self._processes: dict[int, UserSymbols] = {}
        self._binaries: dict[tuple[str, str], ElfBinary | None] = {}
        self._programs: dict[str, ElfBinary | None] = {}

    def kernel(self, address: int) -> tuple[str, int] | None:
        """See `Symbolizer`."""
        if not self._kernel_readable:
            return None
        if self._kallsyms is None:
            from ..kernel.kallsyms import Kallsyms

            self._kallsyms = Kallsyms()
        try:
            found = self._kallsyms.lookup(address)
        except KloupeError:
            self._kernel_readable = False
            return None
        return (found[0], found[1]) if found else None

    def _process(self, pid: int) -> UserSymbols:
        process = self._processes.get(pid)
        if process is None:
            from ..kernel.usersyms import UserSymbols

            process = self._processes[pid] = UserSymbols(pid, self._binaries)
        return process

    def user(self, pid: int, address: int, binary: str) -> tuple[str, int, str] | None:
        """See `Symbolizer`. A file without a symbol there counts as not known."""
        found = self._process(pid).lookup(address)
        if found is None and binary:
            return self._in_program(binary, address)
        return found if found and found[0] else None

    def _in_program(self, path: str, address: int) -> tuple[str, int, str] | None:
        """The process is gone unseen: a program that is not relocated still tells."""
        if path not in self._programs:
            from ..kernel.binary import open_binary

            try:
                self._programs[path] = open_binary(path)
            except KloupeError:
                self._programs[path] = None
        program = self._programs[path]
        try:
            symbol = program.symbol_at_address(address) if program else None
        except KloupeError:
            return None
        return (symbol.name, address - symbol.address, path) if symbol else None

    def remember(self, pid: int, *, files: bool = True) -> None:
        """See `Symbolizer`."""
        known = pid in self._processes
        process = self._process(pid)
        if known:
            process.load_maps()
        if files:
            process.preload()
