"""Config variables: their defaults, where they may be set, and how values are read."""

from __future__ import annotations

from collections.abc import Iterable

from ..base.diag import Diagnostics, did_you_mean
from ..base.errors import UsageError
from ..base.record import record
from ..image import Scalar
from ..lang import nodes as n


@record(frozen=True)
class Row:
    """One config variable: default, and the allowed words for those that take words. `deprecated` ones do nothing any more."""

    default: Scalar
    words: tuple[str, ...] = ()
    environment_only: bool = False
    deprecated: bool = False


_FEATURE = ("error", "warn", "enable")
CONFIG: dict[str, Row] = {
    "cache_user_symbols": Row("PER_PID", ("PER_PID", "PER_PROGRAM", "NONE")),
    "cpp_demangle": Row(True),
    "debug_output": Row(False, environment_only=True),
    "lazy_symbolication": Row(False),
    "license": Row(
        "GPL",
        ("Dual MIT/GPL", "Dual BSD/GPL", "Dual MPL/GPL", "GPL and additional rights", "GPL v2", "GPL"),
    ),
    "log_size": Row(1_000_000),
    "max_bpf_progs": Row(1024),
    "max_cat_bytes": Row(10240),
    "max_map_keys": Row(4096),
    "max_probes": Row(1024),
    "max_strlen": Row(1024),
    "missing_probes": Row("error", ("error", "warn", "ignore")),
    "on_stack_limit": Row(32),
    "perf_rb_pages": Row(0),
    "print_maps_on_exit": Row(True),
    "show_debug_info": Row(False),
    "stack_mode": Row("bpftrace", ("bpftrace", "perf", "raw", "build_id")),
    "str_trunc_trailer": Row(".."),
    "tree": Row(""),
    "unstable_dw_ustack": Row("warn", _FEATURE),
    "unstable_import_statement": Row("warn", _FEATURE),
    "unstable_tseries": Row("warn", _FEATURE),
    "unstable_typeinfo": Row("warn", _FEATURE),
    "use_blazesym": Row(True),
    "verify_llvm_ir": Row(False, environment_only=True),
    **{
        name: Row("", deprecated=True)
        for name in (
            *("symbol_source", "max_type_res_iterations"),
            *("unstable_addr", "unstable_import", "unstable_macro", "unstable_map_decl"),
        )
    },
}
_PREFIXES = ("BPFTRACE_", "KLOUPE_")
_NOT_CONFIG = {
    "color",
    "btf",
    "kernel_source",
    "kernel_build",
    "vmlinux",
    "guest_cache",
    "available_functions_test",
}
_TRUE, _FALSE = {"1", "true"}, {"0", "false"}


def _plain(name: str) -> str:
    for prefix in _PREFIXES:
        if name.upper().startswith(prefix):
            return name[len(prefix) :].lower()
    return name.lower()


def _convert(key: str, row: Row, value: Scalar) -> Scalar:
    """The value as the row's type; raises ValueError with the reason."""
    text = str(value)
    if isinstance(row.default, bool):
        word = text.lower()
        if word in _TRUE | _FALSE:
            return word in _TRUE
        raise ValueError(f"{key}: expecting a bool (true, false, 1 or 0), got {text}")
    if isinstance(row.default, int):
        try:
            return int(text, 0)
        except ValueError:
            raise ValueError(f"{key}: expecting a number, got {text}") from None
    if row.words:
        match = next((w for w in row.words if w.lower() == text.lower()), None)
        if match is None:
            raise ValueError(f"Invalid value for {key}. Found: {text}. Valid values: {', '.join(row.words)}")
        return match
    return text


def read_config(
    entries: Iterable[n.ConfigEntry], environment: Iterable[tuple[str, str]], diagnostics: Diagnostics
) -> dict[str, Scalar]:
    """All config values: defaults, then the script's block, then the environment (which wins).

    Reports mistakes of the block; raises UsageError (exit status 2) for bad environment values.
    """
    values: dict[str, Scalar] = {key: row.default for key, row in CONFIG.items()}
    for entry in entries:
        key = _plain(entry.key)
        row = CONFIG.get(key)
        if row is None:
            diagnostics.error(
                entry.span, f"{entry.key}: not a known configuration option", hints=did_you_mean(key, CONFIG)
            )
        elif row.deprecated:
            diagnostics.warning(entry.span, f"{entry.key} is deprecated and has no effect")
        elif row.environment_only:
            diagnostics.error(entry.span, f"{entry.key}: can only be set as an environment variable")
        else:
            try:
                values[key] = _convert(key, row, entry.value)
            except ValueError as problem:
                diagnostics.error(entry.span, str(problem))
    for name, text in environment:
        key = _plain(name)
        if key != name.lower() and key in CONFIG:
            try:
                values[key] = _convert(key, CONFIG[key], text)
            except ValueError as problem:
                raise UsageError(str(problem), exit_status=2) from None
    return values
