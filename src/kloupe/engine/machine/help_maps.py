"""Helpers on maps, ring buffers and callbacks. Each takes the core and the argument registers, and gives r0 (may be negative).

Source: the helper descriptions in the kernel's uapi header linux/bpf.h; errors from kernel/bpf/helpers.c,
bpf_iter.c (bpf_loop), map_iter.c, ringbuf.c.
"""

from __future__ import annotations

from errno import E2BIG, EFAULT, EINVAL

from ...base.errors import MachineFault
from .core import Core
from .maps import Map, StackTraceMap
from .memory import WINDOW_BITS
from .ringbuf import RingBuffer, not_reserved

MAX_LOOPS = 1 << 23  # BPF_MAX_LOOPS


def map_lookup_elem(core: Core, handle: int, key: int) -> int:
    """The address of the value, or 0."""
    found = core.require_map(handle)
    return found.find(core.space.read(key, found.key_size))


def map_update_elem(core: Core, handle: int, key: int, value: int, flags: int) -> int:
    """Store; 0 or an error."""
    found = core.require_map(handle)
    read = core.space.read
    return found.put(read(key, found.key_size), read(value, found.value_size), flags)


def map_delete_elem(core: Core, handle: int, key: int) -> int:
    """Remove; 0 or an error."""
    found = core.require_map(handle)
    return found.drop(core.space.read(key, found.key_size))


def map_lookup_percpu_elem(core: Core, handle: int, key: int, cpu: int) -> int:
    """The address of the value of one CPU, or 0."""
    found = core.require_map(handle)
    return found.find_on_cpu(core.space.read(key, found.key_size), cpu & 0xFFFFFFFF)


def for_each_map_elem(core: Core, handle: int, function: int, context: int, flags: int) -> int:
    """Call function(map, key, value, context) for each entry until it gives 1; the number of calls."""
    found, callback = core.require_map(handle), core.require_function(function)
    if flags:
        return -EINVAL
    cell = core.take_key_cell(found.key_size)
    buffer = core.space.writable[cell >> WINDOW_BITS]
    calls = 0
    for key in found.all_keys():
        value = found.find(key)
        if not value:
            continue
        buffer[:] = key
        calls += 1
        if callback(handle, cell, value, context):
            break
    core.give_key_cell(cell, found.key_size)
    return calls


def loop(core: Core, count: int, function: int, context: int, flags: int) -> int:
    """Call function(i, context) for i below `count` until it gives 1; the number of calls."""
    callback = core.require_function(function)
    count &= 0xFFFFFFFF
    if flags:
        return -EINVAL
    if count > MAX_LOOPS:
        return -E2BIG
    for index in range(count):
        if callback(index, context):
            return index + 1
    return count


def _ring(core: Core, handle: int) -> RingBuffer:
    found = core.require_map(handle)
    if not isinstance(found, RingBuffer):
        raise MachineFault(f"map {found.spec.name} is not a ring buffer")
    return found


def ringbuf_output(core: Core, handle: int, data: int, size: int, flags: int) -> int:
    """Append a copy of memory."""
    return _ring(core, handle).output(core.space.read(data, size), flags)


def ringbuf_reserve(core: Core, handle: int, size: int, flags: int) -> int:
    """The address of a new record, or 0."""
    return _ring(core, handle).reserve(size, flags)


def _finish(core: Core, record: int, keep: bool) -> int:
    for ring in core.rings:
        if ring.finish(record, keep):
            return 0
    raise not_reserved(record)


def ringbuf_submit(core: Core, record: int, flags: int) -> int:
    """The record is complete."""
    return _finish(core, record, True)


def ringbuf_discard(core: Core, record: int, flags: int) -> int:
    """The record is not wanted."""
    return _finish(core, record, False)


def ringbuf_query(core: Core, handle: int, what: int) -> int:
    """A number about the buffer."""
    return _ring(core, handle).query(what)


_USER_STACK, _SKIP_MASK = 1 << 8, 0xFF


def _stack(core: Core, flags: int) -> tuple[int, ...] | None:
    return core.stacks.user if flags & _USER_STACK else core.stacks.kernel


def get_stackid(core: Core, context: int, handle: int, flags: int) -> int:
    """Store the event's stack in a stack map; its id. -EFAULT when there is none (kernel/bpf/stackmap.c)."""
    found: Map = core.require_map(handle)
    if not isinstance(found, StackTraceMap) or flags & ~0x7FF:
        return -EINVAL
    stack = _stack(core, flags)
    if stack is None or len(stack) <= flags & _SKIP_MASK:
        return -EFAULT
    return found.store(stack, flags)


def get_stack(core: Core, context: int, buffer: int, size: int, flags: int) -> int:
    """Copy the event's stack; the bytes copied. The buffer is cleared on errors."""
    stack = _stack(core, flags)
    skip = flags & _SKIP_MASK
    if flags & ~0x9FF or size % 8 or stack is None or len(stack) < skip:
        core.space.write(buffer, bytes(size))
        return -EFAULT if not flags & ~0x9FF and size % 8 == 0 else -EINVAL
    data = core.sequence(stack[skip : skip + size // 8])
    core.space.write(buffer, data)
    return len(data)
