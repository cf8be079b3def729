"""Kernel types over vmlinux and the modules: BTF blobs found and read when a name needs them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from ..base.errors import MissingFacts, PermissionNeeded
from ..binfmt.btf import Btf

_Found = TypeVar("_Found")
_VMLINUX = "vmlinux"


class KernelTypes:
    """The BTF blobs in a folder: `vmlinux` and one per module (Documentation/ABI/testing/sysfs-kernel-btf)."""

    def __init__(self, folder: str = "/sys/kernel/btf", vmlinux: str = "") -> None:
        self._folder = folder
        self._vmlinux_path = vmlinux or f"{folder}/{_VMLINUX}"
        self._blobs: dict[str, Btf | None] = {}

    @property
    def vmlinux(self) -> Btf | None:
        """The kernel's own types, or None where it has none. Raises PermissionNeeded, FormatError."""
        if _VMLINUX not in self._blobs:
            self._blobs[_VMLINUX] = self._read(self._vmlinux_path, None)
        return self._blobs[_VMLINUX]

    def modules(self) -> list[str]:
        """Names of the modules that have types, sorted."""
        try:
            return sorted(name for name in os.listdir(self._folder) if name != _VMLINUX)
        except OSError:
            return []

    def module(self, name: str) -> Btf | None:
        """A module's types, or None."""
        if name in ("", _VMLINUX):
            return self.vmlinux
        if name not in self._blobs:
            base = self.vmlinux
            known = base is not None and "/" not in name
            self._blobs[name] = self._read(f"{self._folder}/{name}", base) if known else None
        return self._blobs[name]

    def blobs(self, module: str = "") -> Iterator[tuple[str, Btf]]:
        """(module, blob) of one module, or of vmlinux and then every module."""
        names = [module] if module else [_VMLINUX, *self.modules()]
        for name in names:
            blob = self.module(name)
            if blob is not None:
                yield name, blob

    def first(self, ask: Callable[[Btf], _Found | None], module: str = "") -> _Found | None:
        """The first answer that is not None."""
        for _, blob in self.blobs(module):
            found = ask(blob)
            if found is not None:
                return found
        return None

    def _read(self, path: str, base: Btf | None) -> Btf | None:
        try:
            with open(path, "rb") as file:
                return Btf(file.read(), path, base)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise PermissionNeeded(f"cannot read {path}: {error.strerror}", hint="run as root") from None
        except OSError as error:
            raise MissingFacts(f"cannot read {path}: {error.strerror}") from None
