"""Type numbers of the running kernel's BTF, looked up only for programs that name their target by number."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ...base.errors import MissingFacts
from ...host import bpf, bpf_functions
from ...host.fd import OwnedFd

if TYPE_CHECKING:
    from ...binfmt.btf import Btf

_FOLDER = "/sys/kernel/btf"


def _read(name: str) -> bytes:
    try:
        with open(f"{_FOLDER}/{name}", "rb") as file:
            return file.read()
    except OSError as error:
        raise MissingFacts(
            f"no kernel type information for {name}",
            hint="the kernel needs CONFIG_DEBUG_INFO_BTF (and _MODULES for modules)",
        ) from error


class BtfIds:
    """Looks names up in vmlinux and in modules. Owns the descriptors of modules' BTF and of programs that it opened."""

    def __init__(self) -> None:
        self._blobs: dict[str, Btf] = {}
        self._module_fds: dict[str, OwnedFd] = {}
        self._found: dict[tuple[str, str], int | None] = {}

    def _blob(self, module: str) -> Btf:
        blob = self._blobs.get(module)
        if blob is None:
            from ...binfmt.btf import Btf

            base = self._blob("") if module else None
            blob = self._blobs[module] = Btf(_read(module or "vmlinux"), f"{_FOLDER}/{module or 'vmlinux'}", base)
        return blob

    def _require(self, what: str, name: str, kinds: tuple[str, ...], module: str = "") -> int:
        key = (module, f"{what} {name}")
        if key not in self._found:
            from ...binfmt import btf

            numbers = [getattr(btf, kind) for kind in kinds]
            self._found[key] = self._blob(module).type_id(name, numbers)
        number = self._found[key]
        if number is None:
            raise MissingFacts(f"no {what} {name} in the kernel's type information{f' of {module}' if module else ''}")
        return number

    def function(self, name: str, module: str = "") -> tuple[int, int]:
        """(type number, descriptor of the module's BTF or 0) of a kernel function. Raises MissingFacts."""
        if module in ("", "vmlinux"):
            return self._require("function", name, ("FUNC",)), 0
        return self._require("function", name, ("FUNC",), module), self._module_fd(module)

    def raw_tracepoint(self, event: str) -> int:
        """The number of a raw tracepoint's typedef `btf_trace_*`. Raises MissingFacts."""
        return self._require("tracepoint", f"btf_trace_{event}", ("TYPEDEF",))

    def iterator(self, kind: str) -> int:
        """The number of an iterator's function `bpf_iter_*`. Raises MissingFacts."""
        return self._require("iterator", f"bpf_iter_{kind}", ("FUNC",))

    def symbol(self, name: str) -> int:
        """The number of a kernel variable, function or struct. Raises MissingFacts."""
        return self._require("type", name, ("VAR", "FUNC", "STRUCT", "UNION", "TYPEDEF"))

    def program(self, identity: int) -> int:
        """A descriptor of a loaded BPF program. Raises MissingFacts, PermissionNeeded."""
        key = f"program {identity}"
        if key not in self._module_fds:
            fd = bpf_functions.open_program(identity)
            if fd is None:
                raise MissingFacts(f"BPF program {identity} is gone")
            self._module_fds[key] = OwnedFd(fd)
        return self._module_fds[key].fileno()

    def _module_fd(self, module: str) -> int:
        owned = self._module_fds.get(module)
        if owned is None:
            fd = bpf.find_module_btf(module)
            if fd is None:
                raise MissingFacts(f"module {module} has no type information", hint=f"load it: modprobe {module}")
            owned = self._module_fds[module] = OwnedFd(fd)
        return owned.fileno()

    def close(self) -> None:
        """Close the modules' descriptors and forget the blobs."""
        for owned in self._module_fds.values():
            owned.close()
        self._module_fds.clear()
        self._blobs.clear()


def kernel_has_btf() -> bool:
    """Whether the running kernel carries its type information."""
    return os.path.exists(f"{_FOLDER}/vmlinux")
