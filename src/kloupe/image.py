"""The Image: everything an engine needs to run a script, as plain data. Engines know nothing of the language."""

from __future__ import annotations

from collections.abc import Mapping

from .base.ctype import CType
from .base.layout import EventLayout
from .base.record import field, record

Scalar = int | str | bool
SHORT_KEY_BYTES = 64


@record(frozen=True)
class SourcePlace:
    """A place in the script, with its line of text, so that it can be shown without the script. Columns in bytes from 1."""

    file: str
    line: int
    column: int
    end_column: int
    text: str


@record(frozen=True)
class Relocation:
    """What to put into the 64-bit immediate of the instruction at `index` (in instructions) at load time.

    kind "map": the file descriptor of map `name`. "map_value": its first element's address plus `addend`
    (array maps). "kfunc": the BTF id of kernel function `name` (a call). "ksym_id": the BTF type id of `name`.
    References inside the program (calls, callbacks) are already resolved.
    """

    index: int
    kind: str
    name: str
    addend: int = 0


@record(frozen=True)
class FunctionInfo:
    """A function of a program: its name, first instruction, and for BTF whether it is static with how many arguments."""

    name: str
    start_insn: int
    arguments: int = 1


@record(frozen=True)
class AttachSpec:
    """One place to attach to. `name` is the full form that `probe` prints; `kind` and `params` are rows of probes/.

    kind           params
    begin, end     -
    self           signal: "SIGUSR1"
    test, bench    name
    interval       period_ns
    profile        period_ns (or frequency_hz)
    software       event (perf software config number), period
    hardware       event (perf hardware config number), period
    tracepoint     category, event
    rawtracepoint  event
    tp_btf         event                         (program type tracing, attach type trace_raw_tp)
    kprobe         function, module, offset, address (0 unless by address), retval (bool)
    fentry, fexit  function, module (of loaded BPF programs "bpf", and then program, type_id)
    uprobe         path, offset (file offset), symbol, retval (bool), pid (-1: all), ref_ctr_offset,
                   location (of usdt: which place of the marker; places after the first, 0, do not count as probes)
    iter           object ("task", "task_file", "task_vma"), pin (path or "")
    watchpoint     address, length, mode ("r", "w", "rw", "x"), pid
    """

    kind: str
    name: str
    params: Mapping[str, Scalar] = field(default_factory=dict)
    cookie: int = 0


@record(frozen=True)
class ProgramSpec:
    """One program. `code` is eBPF, 8 bytes an instruction, host byte order.

    `type` is a row of bpf/ program types ("kprobe", "tracepoint", "raw_tracepoint", "tracing", "perf_event");
    `attach_type` is "" or "trace_raw_tp", "trace_fentry", "trace_fexit", "trace_iter", "kprobe_multi",
    "kprobe_session", "uprobe_multi". With a *_multi attach type all of `attach` go into one link with cookies.
    `lines` maps instruction index to an index of `places`, ascending.
    """

    name: str
    type: str
    attach_type: str
    code: bytes
    relocations: tuple[Relocation, ...]
    functions: tuple[FunctionInfo, ...]
    lines: tuple[tuple[int, int], ...]
    places: tuple[SourcePlace, ...]
    attach: tuple[AttachSpec, ...]
    sleepable: bool = False
    probe_count: int = 0  # probes that it serves, when that is not the number of attach points


@record(frozen=True)
class MapSpec:
    """One map. Script maps keep their name with `@`; kloupe's own begin with a dot (".events", ".scratch", ".data").

    `kind`: array, percpu_array, hash, percpu_hash, lru_hash, lru_percpu_hash, ringbuf, stack_trace, array_of_maps.
    For script maps `value_type` is set. `key_type` None: a scalar map - an array or percpu_array with one element
    {u64 is_set, value}, printed only if is_set. Values in buckets (histograms, time series): the kernel's key is `key_type`'s bytes padded to 8, then
    u64 bucket number; without a key a percpu_array indexed by bucket.
    `initial` fills element 0 at creation (array maps). An array_of_maps holds the maps `members` in order, which are alike in
    kind and sizes and stand before it in the Image.
    `short` names the map that holds the entries whose keys are zero from byte SHORT_KEY_BYTES - 1 on, cut there: hashing a key
    costs as much as it is long. Both together are the script's map.
    """

    name: str
    kind: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    key_type: CType | None = None
    value_type: CType | None = None
    initial: bytes = b""
    read_only: bool = False
    members: tuple[str, ...] = ()
    short: str = ""

    @property
    def is_script_map(self) -> bool:
        """True for maps the script names."""
        return self.name.startswith("@")


@record(frozen=True)
class EventSpec:
    """What user space does with a record whose first u32 is `id`.

    kind           fields of the layout, in order        params
    printf         the arguments                         format
    errorf, warnf  the arguments                         format
    print_value    the value                             -
    print_entry    key, and the value (none: read it)    map       print(@m[k])
    print_map      -                                     map, top, div
    clear, zero    -                                     map
    exit           i64 status                            late (of iter: the records of all its objects come first)
    time           -                                     format
    strftime       (a value type, no event)
    system, cat    the arguments                         format
    join           buffer per string                     delimiter
    runtime_error  i64 detail                            message
    helper_error   i64 return value                      helper, and for maps map
    skboutput      ...                                   path
    """

    id: int
    kind: str
    layout: EventLayout
    place: SourcePlace
    params: Mapping[str, Scalar] = field(default_factory=dict)
    expanded_from: tuple[SourcePlace, ...] = ()  # the macro calls that the place came out of, innermost first


@record(frozen=True)
class Image:
    """A compiled script: programs in the order in which they attach, maps, events (id = index), strings, config."""

    name: str
    arch: str
    programs: tuple[ProgramSpec, ...]
    maps: tuple[MapSpec, ...]
    events: tuple[EventSpec, ...]
    strings: tuple[str, ...]
    config: Mapping[str, Scalar]
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # attach points that were skipped, as text
