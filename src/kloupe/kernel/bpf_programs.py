"""The BPF programs that are loaded, with the names of their functions."""

from __future__ import annotations

from contextlib import suppress

from ..base.errors import FormatError
from ..binfmt.btf import Btf
from .target import BpfFunction


def loaded_functions() -> list[BpfFunction]:
    """The functions of all programs that have type information, by program. Raises PermissionNeeded."""
    from ..host import bpf_functions as host

    found: list[BpfFunction] = []
    blobs: dict[int, Btf | None] = {0: None}
    for program in host.program_ids():
        btf_id, numbers = host.program_functions(program)
        if btf_id not in blobs:
            blobs[btf_id] = _parse(host.read_btf(btf_id))
        blob = blobs[btf_id]
        if blob is not None:
            with suppress(FormatError):
                found += [BpfFunction(program, blob.name_of(number), number) for number in numbers]
    return found


def _parse(data: bytes) -> Btf | None:
    try:
        return Btf(data, "<program>")
    except FormatError:
        return None
