"""The eBPF instruction set as tables.

Source: Documentation/bpf/standardization/instruction-set.rst (RFC 9669) and the uapi headers linux/bpf.h and
linux/bpf_common.h. An opcode byte is CLASS | (SIZE | MODE for memory, SOURCE | OPERATION for arithmetic and jumps).
"""

from __future__ import annotations

# Classes: the low three bits.
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
CLASS_MASK = 0x07

# Sizes of memory access.
W, H, B, DW = 0x00, 0x08, 0x10, 0x18
SIZE_MASK = 0x18
SIZE_OF_BYTES = {1: B, 2: H, 4: W, 8: DW}
BYTES_OF_SIZE = {code: size for size, code in SIZE_OF_BYTES.items()}

# Modes of memory access. MEMSX (sign-extending load) is cpu v4, Linux 6.6.
IMM, ABS, IND, MEM, MEMSX, ATOMIC = 0x00, 0x20, 0x40, 0x60, 0x80, 0xC0
MODE_MASK = 0xE0

# Second operand of arithmetic and jumps: the immediate or the source register.
K, X = 0x00, 0x08
SOURCE_MASK = 0x08
OPERATION_MASK = 0xF0

MOV, END, NEG = 0xB0, 0xD0, 0x80
# name -> (operation, offset field). A non-zero offset makes div and mod signed (cpu v4, Linux 6.6).
ALU_OPERATIONS: dict[str, tuple[int, int]] = {
    "add": (0x00, 0),
    "sub": (0x10, 0),
    "mul": (0x20, 0),
    "div": (0x30, 0),
    "or": (0x40, 0),
    "and": (0x50, 0),
    "lsh": (0x60, 0),
    "rsh": (0x70, 0),
    "neg": (NEG, 0),
    "mod": (0x90, 0),
    "xor": (0xA0, 0),
    "mov": (MOV, 0),
    "arsh": (0xC0, 0),
    "sdiv": (0x30, 1),
    "smod": (0x90, 1),
}

# Operations of class JMP; all but ja, call and exit also of class JMP32. `gotol` is JMP32 | JA with a 32-bit
# distance in the immediate (cpu v4, Linux 6.6).
JA, CALL, EXIT = 0x00, 0x80, 0x90
JUMP_OPERATIONS: dict[str, int] = {
    "eq": 0x10,
    "gt": 0x20,
    "ge": 0x30,
    "set": 0x40,
    "ne": 0x50,
    "sgt": 0x60,
    "sge": 0x70,
    "lt": 0xA0,
    "le": 0xB0,
    "slt": 0xC0,
    "sle": 0xD0,
}
INVERSE_JUMP: dict[str, str] = {
    "eq": "ne",
    "ne": "eq",
    "gt": "le",
    "le": "gt",
    "ge": "lt",
    "lt": "ge",
    "sgt": "sle",
    "sle": "sgt",
    "sge": "slt",
    "slt": "sge",
}  # "set" has none
SWAPPED_JUMP: dict[str, str] = {
    "eq": "eq",
    "ne": "ne",
    "set": "set",
    "gt": "lt",
    "lt": "gt",
    "ge": "le",
    "le": "ge",
    "sgt": "slt",
    "slt": "sgt",
    "sge": "sle",
    "sle": "sge",
}  # a OP b == b SWAPPED[OP] a

# Immediates of STX | ATOMIC. Plain add is the old BPF_XADD; everything else needs Linux 5.12.
FETCH = 0x01
ATOMIC_OPERATIONS: dict[str, int] = {"add": 0x00, "or": 0x40, "and": 0x50, "xor": 0xA0, "xchg": 0xE1, "cmpxchg": 0xF1}
LOAD_ACQUIRE, STORE_RELEASE = 0x100, 0x110

# LD | DW | IMM: two slots that load 64 bits; the source register says what the immediates mean.
LD_IMM64 = LD | DW | IMM
PSEUDO_NONE = 0
PSEUDO_MAP_FD = 1  # low imm: map file descriptor
PSEUDO_MAP_VALUE = 2  # low imm: map file descriptor, high imm: offset into element 0
PSEUDO_BTF_ID = 3  # low imm: BTF id of a ksym variable, high imm: BTF object file descriptor or 0
PSEUDO_FUNC = 4  # low imm: distance in instructions from the next one (this index + 1) to a callback
PSEUDO_MAP_IDX = 5
PSEUDO_MAP_IDX_VALUE = 6

# Source register of JMP | CALL.
CALL_HELPER = 0  # imm: helper number
CALL_LOCAL = 1  # imm: distance in instructions from the next one
CALL_KFUNC = 2  # imm: BTF id of the kernel function, offset: index into fd_array (0: vmlinux)

TO_LE, TO_BE = 0x00, 0x08  # source bit of ALU | END; ALU64 | END (bswap) swaps always (cpu v4)

FP = 10  # r10, the frame pointer, read-only
ARGUMENT_REGISTERS = (1, 2, 3, 4, 5)
CALLEE_SAVED_REGISTERS = (6, 7, 8, 9)

STACK_BYTES = 512  # MAX_BPF_STACK: of one function, and of all nested ones together
MAX_INSNS = 1_000_000  # BPF_COMPLEXITY_LIMIT_INSNS bounds program length too for privileged loaders
SUBPROG_STACK_ROUNDING = 32  # the verifier rounds each frame up to 32 bytes (16 with a JIT that says so, 6.x)
