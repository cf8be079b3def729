"""Links that attach one program to many functions at once: kprobe_multi, kprobe_session, uprobe_multi.

The kernel refuses such a link as a whole when one place is bad, so a refused link is halved until the bad places stand alone.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable, Sequence
from functools import partial

from ...bpf.program_types import ATTACH_TYPES
from ...host import bpf, bpf_link
from ...host.fd import FdSet
from ...image import AttachSpec
from ..protocol import AttachFailure
from .programs import LoadedProgram
from .refusal import errno_text, explain_refusal

LinkMany = Callable[[LoadedProgram, FdSet], list[AttachFailure]]

# Refusals that can be the fault of one place among many; all others hold for the whole link.
_ONE_PLACE = {
    errno.ESRCH,
    errno.ENOENT,
    errno.EINVAL,
    errno.EBUSY,
    errno.EILSEQ,
    errno.EADDRNOTAVAIL,
    errno.ERANGE,
    errno.EIO,
    bpf.ENOTSUPP,
}
_MOST_ATTEMPTS = 2000


def _group_by(
    specs: Sequence[AttachSpec], key: Callable[[AttachSpec], Hashable], place: Callable[[AttachSpec], Hashable]
) -> list[list[AttachSpec]]:
    """Specs that fit one link: of equal key, and each place once (a repeated place opens a further link)."""
    groups: dict[tuple[Hashable, int], list[AttachSpec]] = {}
    times: dict[Hashable, int] = {}
    for spec in specs:
        same = key(spec)
        at = (same, place(spec))
        turn = times[at] = times.get(at, -1) + 1
        groups.setdefault((same, turn), []).append(spec)
    return list(groups.values())


def _link_or_halve(
    link: Callable[[Sequence[AttachSpec]], int], specs: list[AttachSpec], links: FdSet
) -> list[AttachFailure]:
    failures: list[AttachFailure] = []
    waiting = [specs]
    attempts = 0
    while waiting:
        part = waiting.pop()
        attempts += 1
        try:
            links.add(link(part))
        except OSError as error:
            if len(part) > 1 and error.errno in _ONE_PLACE and attempts < _MOST_ATTEMPTS:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
            else:
                failures += [AttachFailure(spec, _reason(error, spec)) for spec in part]
    return failures


def _reason(error: OSError, spec: AttachSpec) -> str:
    if error.errno in _ONE_PLACE:
        return errno_text(error.errno or 0)
    explained = explain_refusal(error, f"attaching {spec.name}")
    return f"{explained} ({explained.hint})" if explained.hint else str(explained)


def _kernel_key(spec: AttachSpec) -> Hashable:
    return bool(spec.params.get("retval", False)), bool(spec.params.get("address", 0))


def _kernel_place(spec: AttachSpec) -> Hashable:
    return spec.params.get("address", 0) or spec.params["function"]


def _link_kernel(program: LoadedProgram, specs: Sequence[AttachSpec]) -> int:
    first = specs[0].params
    attach_type = program.spec.attach_type
    targets: list[str] | list[int]
    if first.get("address", 0):
        targets = [int(spec.params["address"]) for spec in specs]
    else:
        targets = [str(spec.params["function"]) for spec in specs]
    on_return = bool(first.get("retval", False)) and attach_type == "kprobe_multi"
    return bpf_link.link_kprobe_multi(
        program.fd, ATTACH_TYPES[attach_type], targets, [spec.cookie for spec in specs], on_return
    )


def _link_functions(program: LoadedProgram, links: FdSet) -> list[AttachFailure]:
    failures = []
    for group in _group_by(program.attach, _kernel_key, _kernel_place):
        failures += _link_or_halve(partial(_link_kernel, program), group, links)
    return failures


def _user_key(spec: AttachSpec) -> Hashable:
    return spec.params["path"], bool(spec.params.get("retval", False)), spec.params.get("pid", -1)


def _user_place(spec: AttachSpec) -> Hashable:
    return spec.params["offset"]


def _link_user(program: LoadedProgram, specs: Sequence[AttachSpec]) -> int:
    first = specs[0].params
    attach_type = program.spec.attach_type
    return bpf_link.link_uprobe_multi(
        program.fd,
        ATTACH_TYPES[attach_type],
        str(first["path"]),
        [int(spec.params["offset"]) for spec in specs],
        [spec.cookie for spec in specs],
        [int(spec.params.get("ref_ctr_offset", 0)) for spec in specs],
        bool(first.get("retval", False)) and attach_type == "uprobe_multi",
        max(0, int(first.get("pid", -1))),
    )


def _link_places(program: LoadedProgram, links: FdSet) -> list[AttachFailure]:
    failures = []
    for group in _group_by(program.attach, _user_key, _user_place):
        failures += _link_or_halve(partial(_link_user, program), group, links)
    return failures


MULTI_LINKS: dict[str, LinkMany] = {
    "kprobe_multi": _link_functions,
    "kprobe_session": _link_functions,
    "uprobe_multi": _link_places,
    "uprobe_session": _link_places,
}
