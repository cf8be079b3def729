"""Two small machines that must agree: one runs IR as its documentation says, one runs eBPF strictly.

The eBPF one refuses what a verifier would: reading a register or stack byte that nothing wrote, stack frames that are
too deep. Helpers are pure functions of their arguments, and every call clobbers r0 to r5.
"""

from __future__ import annotations

import zlib

from kloupe.bpf import isa
from kloupe.bpf.helpers import HELPER_NAMES
from kloupe.bpf.insn import decode_program, imm64
from kloupe.codegen.emit import EmittedProgram
from kloupe.codegen.fold import fold_alu, fold_byte_swap, fold_compare, fold_extend, signed
from kloupe.ir import ops
from kloupe.ir.ops import Function, ProgramIR

M64 = (1 << 64) - 1
CONTEXT_AT = 0x1000_0000
MAPS_AT = 0x2000_0000
SLOTS_AT = 0x4000_0000
STACK_AT = 0x5000_0000
HANDLES_AT = 0x7000_0000
CALLBACK_AT = 0x7800_0000


class Memory:
    """Bytes by address; None is what nothing wrote."""

    def __init__(self) -> None:
        self.regions: list[tuple[int, list[int | None]]] = []

    def add(self, start: int, content: list[int | None]) -> None:
        self.regions.append((start, content))

    def _find(self, address: int, size: int) -> tuple[list[int | None], int]:
        for start, content in self.regions:
            if start <= address and address + size <= start + len(content):
                return content, address - start
        raise AssertionError(f"access of {size} bytes at {address:#x} is outside of all memory")

    def read(self, address: int, size: int, *, strict: bool) -> int:
        content, at = self._find(address & M64, size)
        part = content[at : at + size]
        if strict:
            assert None not in part, f"{address:#x}: reads bytes that nothing wrote"
        return int.from_bytes(bytes(b or 0 for b in part), "little")

    def write(self, address: int, size: int, value: int) -> None:
        content, at = self._find(address & M64, size)
        content[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


class World:
    """What both machines share: context, maps, helpers. `maps` are array maps by name, with their first element."""

    def __init__(self, maps: dict[str, int], context: bytes = bytes(range(64)), cpu: int = 0) -> None:
        self.memory = Memory()
        self.memory.add(CONTEXT_AT, list(context))
        self.maps: dict[str, int] = {}
        self.content: dict[str, list[int | None]] = {}
        self.calls: list[tuple[object, ...]] = []
        self.strict = False
        self.cpu = cpu
        self.hash: dict[bytes, int] = {}  # map @hash: key -> address of the value
        at = MAPS_AT
        for name, size in maps.items():
            self.maps[name] = at
            self.content[name] = [0] * size
            self.memory.add(at, self.content[name])
            at += size + 4096
        names = sorted({*maps, ".scratch", ".lost", "@hash"})
        self.handles = {HANDLES_AT + 16 * index: name for index, name in enumerate(names)}

    def handle(self, name: str) -> int:
        return next(number for number, known in self.handles.items() if known == name)

    def call(self, name: str, args: list[int], run_callback) -> int:
        """A helper. Fixed meanings for a few, a hash of the arguments for all others."""
        if name == "loop":
            count, callback, context = args[:3]
            done = 0
            for index in range(count & M64):
                done += 1
                if run_callback(callback, [index, context]):
                    break
            return done
        if name == "probe_read_kernel":
            address, size, seed = args
            self.calls.append((name, size, seed & M64))
            for index in range(size):
                self.memory.write(address + index, 1, zlib.crc32(b"%d %d" % (seed & M64, index)))
            return 0
        if name == "strncmp":  # reads memory
            address, size, seed = args
            content = bytes(self.memory.read(address + index, 1, strict=self.strict) for index in range(size))
            self.calls.append((name, content, seed & M64))
            return signed(zlib.crc32(content) ^ seed)
        if name == "map_lookup_elem":
            return self.hash.get(self.bytes_at(args[1], 8), 0)
        if name == "map_update_elem" and args[0] in self.handles:
            key, value = self.bytes_at(args[1], 8), self.bytes_at(args[2], 8)
            if key not in self.hash:
                self.hash[key] = 0x3000_0000 + 64 * len(self.hash)
                self.memory.add(self.hash[key], [0] * 8)
            self.memory.write(self.hash[key], 8, int.from_bytes(value, "little"))
            return 0
        if name == "get_smp_processor_id":
            return self.cpu
        self.calls.append((name, *(arg & M64 for arg in args)))
        return signed(zlib.crc32(repr((name, [arg & M64 for arg in args])).encode()) * 0x9E3779B97F4A7C15)

    def bytes_at(self, address: int, size: int) -> bytes:
        return self.memory.read(address, size, strict=self.strict).to_bytes(size, "little")


class IrMachine:
    """Runs a ProgramIR."""

    def __init__(self, program: ProgramIR, world: World) -> None:
        self.program = program
        self.world = world
        self.slots: dict[ops.Slot, int] = {}
        self.next_slot = SLOTS_AT
        self.steps = 0

    def address_of(self, slot: ops.Slot, frame: dict[ops.Slot, int]) -> int:
        where = self.slots if slot.captured else frame
        if slot not in where:
            where[slot] = self.next_slot
            self.world.memory.add(self.next_slot, [None] * slot.size)
            self.next_slot += slot.size + 64
        return where[slot]

    def run(self) -> int:
        return self.call(self.program.functions[0], [CONTEXT_AT])

    def call(self, function: Function, args: list[int]) -> int:
        regs: dict[ops.Reg, int] = {}
        frame: dict[ops.Slot, int] = {}
        block = function.blocks[0]
        while True:
            for op in block.ops:
                self.steps += 1
                assert self.steps < 200_000
                if isinstance(op, ops.Exit):
                    return self.value(op.value, regs)
                if isinstance(op, ops.Jump):
                    block = op.target
                elif isinstance(op, ops.Branch):
                    taken = fold_compare(op.op, self.value(op.left, regs), self.value(op.right, regs), op.bits)
                    block = op.then if taken else op.otherwise
                else:
                    self.step(op, regs, frame, args)

    def value(self, value: ops.Value, regs: dict[ops.Reg, int]) -> int:
        return signed(value) if isinstance(value, int) else regs[value]

    def step(self, op: ops.Op, regs: dict[ops.Reg, int], frame: dict[ops.Slot, int], args: list[int]) -> None:
        world = self.world
        match op:
            case ops.Move():
                regs[op.dst] = self.value(op.src, regs)
            case ops.Alu():
                right = 0 if op.op == "neg" else self.value(op.right, regs)
                regs[op.dst] = fold_alu(op.op, self.value(op.left, regs), right, op.bits)
            case ops.ByteSwap():
                regs[op.dst] = fold_byte_swap(regs[op.src], op.bits)
            case ops.Load():
                raw = world.memory.read(self.place(op.base, op.offset, regs, frame), op.size, strict=False)
                regs[op.dst] = fold_extend(raw, op.size, op.signed)
            case ops.Store():
                world.memory.write(self.place(op.base, op.offset, regs, frame), op.size, self.value(op.value, regs))
            case ops.Atomic():
                self.atomic(op, regs, frame)
            case ops.Address():
                regs[op.dst] = self.address_of(op.slot, frame) + op.offset
            case ops.Context():
                regs[op.dst] = CONTEXT_AT
            case ops.Captures():
                regs[op.dst] = CALLBACK_AT
            case ops.Parameter():
                regs[op.dst] = args[op.index]
            case ops.MapHandle():
                regs[op.dst] = world.handle(op.name)
            case ops.MapValue():
                regs[op.dst] = world.maps[op.name] + op.offset
            case ops.FunctionRef():
                regs[op.dst] = CALLBACK_AT + self.program.functions.index(op.function)
            case ops.CallHelper():
                values = [self.value(arg, regs) for arg in op.args]
                result = world.call(
                    op.helper, values, lambda ref, a: self.call(self.program.functions[ref - CALLBACK_AT], a)
                )
                if op.dst is not None:
                    regs[op.dst] = result
            case _:
                raise AssertionError(op)

    def place(self, base: ops.Base, offset: int, regs: dict[ops.Reg, int], frame: dict[ops.Slot, int]) -> int:
        return (self.address_of(base, frame) if isinstance(base, ops.Slot) else regs[base]) + offset

    def atomic(self, op: ops.Atomic, regs: dict[ops.Reg, int], frame: dict[ops.Slot, int]) -> None:
        at = self.place(op.base, op.offset, regs, frame)
        expected = regs[op.expected] if op.expected is not None else 0
        old, new = do_atomic(self.world.memory, op.op, at, op.size, regs[op.value], expected)
        del new
        if op.dst is not None:
            regs[op.dst] = old


def do_atomic(memory: Memory, name: str, at: int, size: int, value: int, expected: int) -> tuple[int, int]:
    bits = 8 * size
    old = memory.read(at, size, strict=True)
    if name == "cmpxchg":
        new = value if old == expected & ((1 << bits) - 1) else old
    elif name == "xchg":
        new = value
    else:
        new = fold_alu(name, old, value, 64)
    memory.write(at, size, new)
    return signed(old), new


class BpfMachine:
    """Runs emitted eBPF."""

    _ALU = {code: name for name, (code, off) in isa.ALU_OPERATIONS.items() if not off and name not in ("mov",)}
    _JUMP = {code: name for name, code in isa.JUMP_OPERATIONS.items()}
    _ATOMIC = {code: name for name, code in isa.ATOMIC_OPERATIONS.items()}

    def __init__(self, program: EmittedProgram, world: World) -> None:
        self.code = decode_program(program.code)
        self.relocations = {relocation.index: relocation for relocation in program.relocations}
        self.world = world
        world.strict = True
        self.depth = 0
        self.insns = 0
        self.lookups = 0
        self.busy = 0  # elements of .scratch that others hold
        if program.scratch_bytes:
            self.elements = []
            for index in range(8):
                at = 0x6000_0000 + index * 0x10_0000
                world.memory.add(at, [0] * 8 + [None] * program.scratch_bytes)
                self.elements.append(at)
            world.memory.add(0x6F00_0000, [0] * 8)

    def run(self) -> int:
        return self.call(0, [CONTEXT_AT])

    def call(self, start: int, args: list[int]) -> int:
        self.depth += 1
        top = STACK_AT + self.depth * 0x1000
        memory = self.world.memory
        memory.regions = [region for region in memory.regions if region[0] != top - 512]
        memory.add(top - 512, [None] * 512)
        regs: list[int | None] = [None] * 10 + [top]
        regs[1 : 1 + len(args)] = args
        result = self.loop(start, regs)
        self.depth -= 1
        return result

    def get(self, regs: list[int | None], number: int, at: int) -> int:
        value = regs[number]
        assert value is not None, f"{at}: reads r{number}, which holds nothing"
        return value

    def loop(self, pc: int, regs: list[int | None]) -> int:
        while True:
            self.insns += 1
            assert self.insns < 2_000_000
            insn = self.code[pc]
            kind = insn.instruction_class
            if insn.is_wide:
                regs[insn.dst] = self.wide(pc)
                pc += 2
                continue
            if kind in (isa.ALU, isa.ALU64):
                self.alu(insn, regs, pc)
            elif kind == isa.LDX:
                size = isa.BYTES_OF_SIZE[insn.opcode & isa.SIZE_MASK]
                raw = self.world.memory.read(self.get(regs, insn.src, pc) + insn.off, size, strict=True)
                regs[insn.dst] = fold_extend(raw, size, insn.opcode & isa.MODE_MASK == isa.MEMSX)
            elif kind == isa.ST:
                size = isa.BYTES_OF_SIZE[insn.opcode & isa.SIZE_MASK]
                self.world.memory.write(self.get(regs, insn.dst, pc) + insn.off, size, insn.imm)
            elif kind == isa.STX:
                self.store(insn, regs, pc)
            else:
                operation = insn.opcode & isa.OPERATION_MASK
                if operation == isa.EXIT:
                    return signed(self.get(regs, 0, pc))
                if operation == isa.CALL:
                    self.helper(insn, regs, pc)
                elif operation == isa.JA:
                    pc += insn.off
                else:
                    right = self.get(regs, insn.src, pc) if insn.opcode & isa.X else insn.imm
                    bits = 64 if kind == isa.JMP else 32
                    if fold_compare(self._JUMP[operation], self.get(regs, insn.dst, pc), right, bits):
                        pc += insn.off
            pc += 1

    def wide(self, pc: int) -> int:
        insn = self.code[pc]
        relocation = self.relocations.get(pc)
        if relocation is not None:
            if relocation.kind == "map":
                return self.world.handle(relocation.name)
            return self.world.maps[relocation.name] + relocation.addend
        if insn.src == isa.PSEUDO_FUNC:
            return pc + 1 + insn.imm
        return signed(imm64(insn, self.code[pc + 1]))

    def alu(self, insn, regs: list[int | None], pc: int) -> None:
        operation = insn.opcode & isa.OPERATION_MASK
        bits = 64 if insn.instruction_class == isa.ALU64 else 32
        if operation == isa.END:
            regs[insn.dst] = fold_byte_swap(self.get(regs, insn.dst, pc), insn.imm)
            return
        right = self.get(regs, insn.src, pc) if insn.opcode & isa.X else insn.imm
        if operation == isa.MOV:
            regs[insn.dst] = right if bits == 64 else signed(right & 0xFFFFFFFF)
            return
        assert insn.dst != isa.FP
        name = self._ALU[operation]
        if name in ("lsh", "rsh", "arsh") and not insn.opcode & isa.X:
            assert 0 <= right < bits
        regs[insn.dst] = fold_alu(("s" if insn.off else "") + name, self.get(regs, insn.dst, pc), right, bits)

    def store(self, insn, regs: list[int | None], pc: int) -> None:
        size = isa.BYTES_OF_SIZE[insn.opcode & isa.SIZE_MASK]
        at = self.get(regs, insn.dst, pc) + insn.off
        value = self.get(regs, insn.src, pc)
        if insn.opcode & isa.MODE_MASK == isa.MEM:
            self.world.memory.write(at, size, value)
            return
        name = self._ATOMIC.get(insn.imm) or self._ATOMIC[insn.imm & ~isa.FETCH]
        expected = self.get(regs, 0, pc) if name == "cmpxchg" else 0
        old, _ = do_atomic(self.world.memory, name, at, size, value, expected)
        if name == "cmpxchg":
            regs[0] = old
        elif insn.imm & isa.FETCH:
            regs[insn.src] = old

    def helper(self, insn, regs: list[int | None], pc: int) -> None:
        name = HELPER_NAMES[insn.imm]
        if name == "map_lookup_elem" and self.world.handles[self.get(regs, 1, pc)] != "@hash":
            result = self.look_up(self.get(regs, 1, pc), self.get(regs, 2, pc))
        else:
            args = []
            for number in range(1, 6):
                if regs[number] is None:
                    break
                args.append(regs[number])
            args = args[: ARGUMENTS.get(name, 5)]
            result = self.world.call(name, args, self.call)
        regs[:6] = [result, None, None, None, None, None]

    def look_up(self, handle: int, key: int) -> int:
        name = self.world.handles[handle]
        index = self.world.memory.read(key, 4, strict=True)
        self.lookups += 1
        if name == ".lost":
            return 0x6F00_0000
        if self.busy:
            self.busy -= 1
            self.world.memory.write(self.elements[index], 8, 1)
        return self.elements[index]


ARGUMENTS = {"ktime_get_ns": 0, "get_prandom_u32": 0, "send_signal": 1, "map_update_elem": 4, "strncmp": 3}
ARGUMENTS |= {
    "map_lookup_elem": 2,
    "probe_read_kernel": 3,
    "loop": 4,
    "probe_read": 3,
    "trace_vprintk": 4,
    "perf_event_output": 5,
}
