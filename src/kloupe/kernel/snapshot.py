"""A kernel's facts in a folder: compile for a machine that is not at hand, and tests that need no privilege.

    FOLDER/meta.json                 {"arch", "release", "cpu_count", "pid_namespace", "features"}
    FOLDER/btf/vmlinux, MODULE       as /sys/kernel/btf
    FOLDER/tracing/...               available_events, available_filter_functions, events/CATEGORY/EVENT/format, as in tracefs
    FOLDER/kallsyms, modules         as in /proc

Every file but meta.json may be missing; the questions that need it then find nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..base.errors import FormatError, KloupeError, MissingFacts
from .arch import arch_table
from .facts import KernelFacts
from .kallsyms import Kallsyms
from .kernel_types import KernelTypes
from .tracing_dir import TracingDir

_TRACING_LISTS = ("available_events", "available_filter_functions")


class SnapshotTarget(KernelFacts):
    """The machine that a folder describes. Binaries and libraries are looked for on this machine."""

    def __init__(self, folder: str) -> None:
        """Raises MissingFacts without the folder's meta.json, FormatError for a broken one."""
        meta = _read_meta(f"{folder}/meta.json")
        namespace = meta.get("pid_namespace")
        super().__init__(
            arch_table(str(meta.get("arch", "x86_64"))),
            str(meta.get("release", "")),
            int(meta.get("cpu_count", 1)),
            KernelTypes(f"{folder}/btf"),
            TracingDir([f"{folder}/tracing"]),
            Kallsyms(f"{folder}/kallsyms"),
            modules_path=f"{folder}/modules",
            pid_namespace=(int(namespace[0]), int(namespace[1])) if namespace else None,
            known_features={str(name): bool(answer) for name, answer in dict(meta.get("features", {})).items()},
        )


def _read_meta(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            meta = json.load(file)
    except OSError as error:
        raise MissingFacts(f"no snapshot: cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise FormatError(path, getattr(error, "pos", 0), f"not JSON: {error}") from None
    numbers = isinstance(meta, dict) and isinstance(meta.get("cpu_count", 1), int)
    namespace = meta.get("pid_namespace") if numbers else None
    pair = not namespace or (
        isinstance(namespace, list) and len(namespace) == 2 and all(isinstance(n, int) for n in namespace)
    )
    if not numbers or not pair or not isinstance(meta.get("features", {}), dict):
        raise FormatError(path, 0, "not a snapshot's meta.json")
    return dict(meta)


def save_snapshot(target: KernelFacts, folder: str, tracepoints: Iterable[tuple[str, str]] = ()) -> None:
    """Write what `target` knows into `folder`: types, symbols, function list, and the formats of the given tracepoints."""
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    for name, blob in target.types.blobs():
        _write(root / "btf" / name, Path(blob.path).read_bytes())
    if target.symbols_at_hand:
        _write(root / "kallsyms", target.symbols.data[1:])
    _write(root / "modules", "".join(f"{name}\n" for name in target.modules()[1:]).encode())
    tracing = target.tracing.path
    if tracing is not None:
        parts = [*_TRACING_LISTS, *(f"events/{category}/{event}/format" for category, event in tracepoints)]
        for part in parts:
            if os.access(f"{tracing}/{part}", os.R_OK):
                _write(root / "tracing" / part, Path(f"{tracing}/{part}").read_bytes())
    meta = {
        "arch": target.arch.name,
        "release": target.release,
        "cpu_count": target.cpu_count,
        "pid_namespace": target.pid_namespace,
        "features": {name: answer for name, answer in _answers(target).items() if answer is not None},
    }
    _write(root / "meta.json", json.dumps(meta, indent=1, sort_keys=True).encode())


def _answers(target: KernelFacts) -> dict[str, bool | None]:
    try:
        return target.features.all()
    except KloupeError:
        return {}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
