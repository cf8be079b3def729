"""Arguments and return values of functions by events of our own, where the graph tracer does not give them.

fprobe events (Documentation/trace/fprobetrace.rst, kernel 6.5), else kprobe events (kprobetrace.rst): one on the entry, one on the return.
"""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase

from ...base import ctype as ct
from ...base.errors import NotSupported, UsageError
from ...binfmt.btf_text import parameter_declarations
from ...kernel.kernel_types import KernelTypes
from ...kernel.tracing_dir import TracingDir
from .folder import TracingFolder
from .knobs import Knobs
from .request import Request

MOST_FUNCTIONS = 100
_MOST_ARGUMENTS = 6  # what the registers of the calling convention hold on x86-64; further ones are on the stack
_TEXT = "const char * "
_UNFIT = re.compile(r"\W", re.ASCII)


def add_probes(knobs: Knobs, request: Request, *, args: bool, retval: bool) -> dict[str, tuple[str, bool]]:
    """Make and enable the events; gives event name -> (function, whether it is its return).

    Raises NotSupported where the kernel has neither kind of probe, UsageError when no functions are named or too many.
    """
    top = knobs.folder.top
    letters = _letters(top)
    names = chosen_functions(top, request)
    types = KernelTypes()
    group = f"kloupe_{os.getpid()}"
    made: dict[str, tuple[str, bool]] = {}
    for function in names:
        signature = types.first(lambda btf, name=function: btf.function(name))  # type: ignore[misc]
        for is_return, wanted in ((False, args), (True, retval)):
            if wanted and not (is_return and signature is not None and isinstance(signature.result, ct.Void)):
                event = f"{_UNFIT.sub('_', function)}__{'return' if is_return else 'entry'}"
                values = _return_value(signature) if is_return else _arguments(signature, _texts(types, function))
                place = f"{function}%return" if letters == "f" and is_return else function
                letter = letters if letters == "f" else letters[is_return]
                knobs.add(
                    "dynamic_events",
                    f"{letter}:{group}/{event} {place} {values}".strip(),
                    f"-:{group}/{event}",
                    shared=True,
                )
                knobs.enable_made(f"events/{group}/{event}")
                made[event] = function, is_return
    return made


def _letters(top: TracingFolder) -> str:
    """`f` for fprobe events, `pr` for kprobe events. Raises NotSupported."""
    if not top.has("dynamic_events"):
        raise NotSupported(
            "this kernel cannot make events on functions", hint="it needs CONFIG_FPROBE_EVENTS or CONFIG_KPROBE_EVENTS"
        )
    readme = top.get("README")
    if re.search(r"^\s*f\[:", readme, re.MULTILINE):
        return "f"
    if top.has("kprobe_events"):
        return "pr"
    raise NotSupported(
        "this kernel has neither fprobe nor kprobe events", hint="it needs CONFIG_FPROBE_EVENTS or CONFIG_KPROBE_EVENTS"
    )


def chosen_functions(top: TracingFolder, request: Request) -> list[str]:
    """The functions that the request's filters and roots name. Raises UsageError."""
    patterns = [*request.functions, *request.roots]
    why = "--args and --retval need the names of functions, because this kernel's tracer does not give them by itself"
    if not patterns:
        raise UsageError(why, hint="as in: kloupe ftrace graph --retval -g vfs_read -- CMD")
    listed = TracingDir((top.root,)).functions() or []
    skipped = request.notrace
    found = [
        name
        for name, _ in listed
        if any(fnmatchcase(name, pattern) for pattern in patterns) and not any(fnmatchcase(name, p) for p in skipped)
    ]
    names = list(dict.fromkeys(found)) or [pattern for pattern in patterns if not set(pattern) & set("*?[")]
    if len(names) > MOST_FUNCTIONS:
        raise UsageError(
            f"{len(names)} functions match: --args and --retval probe at most {MOST_FUNCTIONS}", hint="name fewer"
        )
    return names


def _texts(types: KernelTypes, function: str) -> set[str]:
    """The parameters that are text: `const char *`. What a plain `char *` points to is, as a rule, still to be written."""
    found = types.first(lambda btf: parameter_declarations(btf, function)) or ()
    return {declared.removeprefix(_TEXT) for declared in found if declared.startswith(_TEXT)}


def _arguments(signature: ct.Function | None, texts: set[str]) -> str:
    if signature is None:
        return " ".join(f"arg{n}=$arg{n}:x64" for n in range(1, 4))
    parts = []
    for number, (name, kind) in enumerate(signature.parameters[:_MOST_ARGUMENTS], 1):
        label = _UNFIT.sub("_", name) or f"arg{number}"
        source = f"$arg{number}"
        parts.append(f"{label}=+0({source}):string" if name in texts else f"{label}={_fetch(source, kind)}")
    return " ".join(parts)


def _return_value(signature: ct.Function | None) -> str:
    return f"retval={_fetch('$retval', signature.result)}" if signature is not None else "retval=$retval:x64"


def _fetch(source: str, kind: ct.CType) -> str:
    """A fetch argument with its type."""
    if isinstance(kind, ct.Int | ct.Enum) and kind.size in (1, 2, 4, 8):
        return f"{source}:{'s' if kind.signed else 'u'}{8 * kind.size}"
    if isinstance(kind, ct.Bool):
        return f"{source}:u8"
    return f"{source}:x64"
