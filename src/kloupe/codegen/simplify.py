"""Simplification of one function's IR: constants, copies, addresses, dead operations, dead blocks.

Afterwards only Move, Alu, ByteSwap, Load, Store, Atomic, Parameter, the calls and the terminators are left. What the
others gave is a recipe: a register that is made anew wherever it is wanted.
"""

from __future__ import annotations

from collections.abc import Callable

from ..base.record import record
from ..ir import ops
from ..ir.facts import reads, written
from ..ir.ops import Base, Block, Function, Op, Reg, Slot, Value
from .expand import expand_signed_division
from .flow import copy_blocks, in_topological_order, split_long, targets, tidy, with_plain_entry
from .fold import fits_s32, fold_alu, fold_byte_swap, fold_compare, signed
from .promote import promote_slots

CONTEXT = Reg(-1)  # the program's context pointer
CAPTURES = Reg(-2)  # in a callback: the pointer to the captured block
ARGUMENTS = tuple(Reg(-10 - index) for index in range(5))  # what a callback is called with

Recipe = int | ops.Address | ops.MapHandle | ops.MapValue | ops.FunctionRef | ops.Captures

_COMMUTATIVE = frozenset({"add", "mul", "and", "or", "xor"})
_NEUTRAL_ZERO = frozenset({"add", "sub", "or", "xor", "lsh", "rsh", "arsh"})
_SHIFTS = frozenset({"lsh", "rsh", "arsh"})
_SWAPPED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "slt": "sgt", "sgt": "slt", "sle": "sge", "sge": "sle"}
_POWERS = {1 << n: n for n in range(1, 63)}
_OFFSET_LIMIT = 1 << 14


@record
class Simplified:
    """A function ready for placement of slots and allocation of registers."""

    function: Function
    blocks: list[Block]
    recipes: dict[Reg, Recipe]
    forward_only: bool  # no edge leads backwards


class _Rewriter:
    """One forward pass over the blocks of a function."""

    def __init__(self, function: Function, blocks: list[Block], is_root: bool, cpu_v4: bool) -> None:
        self.blocks = blocks
        self.is_root = is_root
        self.parameters = list(ARGUMENTS)
        self.parameters[function.context_index] = CONTEXT if is_root else CAPTURES
        self.cpu_v4 = cpu_v4
        position = {block: index for index, block in enumerate(blocks)}
        self.forward_only = all(position[t] > position[b] for b in blocks for t in targets(b))
        self.single = _defined_once(blocks)
        self.known: dict[Reg, Value] = {CONTEXT: CONTEXT, CAPTURES: CAPTURES}
        self.recipes: dict[Reg, Recipe] = {}
        self.shifts: dict[Reg, tuple[Reg, int]] = {}  # results of `x << n`
        self.sums: dict[Reg, tuple[Reg, int]] = {}  # results of `x + n`
        self.widths: dict[Reg, int] = {}  # low bits that may be set
        self.map_bases: dict[str, Reg] = {}
        self.local: list[Reg] = []
        self.copies: dict[Reg, list[Reg]] = {}
        self.out: list[Op] = []
        self.folded = False

    def run(self) -> None:
        handlers = _HANDLERS
        for block in self.blocks:
            self.out = []
            for op in block.ops:
                handlers[type(op)](self, op)
            block.ops = self.out
            for reg in self.local:
                self.known.pop(reg, None)
            self.local.clear()
            self.copies.clear()

    # -- what is known of registers -----------------------------------------------------------------------------

    def value(self, value: Value) -> Value:
        if isinstance(value, int):
            return signed(value)
        return self.known.get(value, value)

    def register(self, reg: Reg) -> Reg:
        value = self.known.get(reg, reg)
        return reg if isinstance(value, int) else value

    def base(self, base: Base, offset: int) -> tuple[Base, int]:
        """The same place, from a slot or the furthest base that is known."""
        if isinstance(base, Slot):
            return base, offset
        base = self.register(base)
        recipe = self.recipes.get(base)
        if isinstance(recipe, ops.Address):
            return recipe.slot, offset + recipe.offset
        if isinstance(recipe, ops.MapValue) and abs(recipe.offset) < _OFFSET_LIMIT:
            return self._map_base(recipe), offset + recipe.offset
        origin = self.sums.get(base)
        if origin is not None and abs(origin[1] + offset) < _OFFSET_LIMIT:
            return origin[0], origin[1] + offset
        return base, offset

    def _map_base(self, recipe: ops.MapValue) -> Reg:
        base = self.map_bases.get(recipe.name)
        if base is None:
            base = self.map_bases[recipe.name] = Reg(0)
            self.recipes[base] = ops.MapValue(recipe.span, base, recipe.name, 0)
        return base

    def forget(self, dst: Reg) -> None:
        """`dst` is about to get another value."""
        if dst in self.single:
            return
        self.known.pop(dst, None)
        for copy in self.copies.pop(dst, ()):
            if self.known.get(copy) is dst:
                del self.known[copy]

    def cook(self, op: Op, dst: Reg, recipe: Recipe) -> None:
        """`dst` can be made anew at any place."""
        if dst in self.single:
            self.recipes[dst] = recipe
            return
        fresh = Reg(0)
        self.recipes[fresh] = recipe
        self.forget(dst)
        self.out.append(ops.Move(op.span, dst, fresh))

    def assign(self, op: Op, dst: Reg, value: Value) -> None:
        """dst = value, remembered as far as that holds."""
        if dst in self.single:
            if isinstance(value, int):
                self.known[dst] = value
                self.recipes[dst] = value
                return
            self.known[dst] = value
            if value in self.recipes or value is CONTEXT or value is CAPTURES:
                return
            if value in self.single and self.forward_only:
                return
            self.local.append(dst)
            self.copies.setdefault(value, []).append(dst)
        else:
            self.forget(dst)
            if value is dst:
                return
            if isinstance(value, int):
                self.known[dst] = value
                self.local.append(dst)
        self.out.append(ops.Move(op.span, dst, value))

    # -- operations ---------------------------------------------------------------------------------------------

    def move(self, op: ops.Move) -> None:
        value = self.value(op.src)
        if isinstance(value, Reg) and op.dst not in self.single and self._fuse(op, value):
            return
        self.assign(op, op.dst, value)

    def _fuse(self, op: ops.Move, value: Reg) -> bool:
        """Let the operation right before write to the Move's own register when nothing else reads what it gives."""
        if not self.out or self.single.get(value) != 1:
            return False
        last = self.out[-1]
        if isinstance(last, (ops.Alu, ops.Load, ops.ByteSwap)) and last.dst is value:
            self.forget(op.dst)
            self.out[-1] = _with_dst(last, op.dst)
            return True
        return False

    def context(self, op: ops.Context) -> None:
        self.assign(op, op.dst, CONTEXT)

    def captures(self, op: ops.Captures) -> None:
        if self.is_root:
            self.cook(op, op.dst, op)
        else:
            self.assign(op, op.dst, CAPTURES)

    def reference(self, op: ops.Address | ops.MapHandle | ops.MapValue | ops.FunctionRef) -> None:
        self.cook(op, op.dst, op)

    def alu(self, op: ops.Alu) -> None:
        left, right = self.value(op.left), self.value(op.right)
        if op.op == "neg":
            right = 0
        if isinstance(left, int):
            if isinstance(right, int):
                self.assign(op, op.dst, fold_alu(op.op, left, right, op.bits))
                return
            if op.op in _COMMUTATIVE:
                left, right = right, left
        if isinstance(left, Reg) and isinstance(right, int) and op.op != "neg":
            if self._by_constant(op, left, right):
                return
        elif op.op in ("sdiv", "smod") and not self.cpu_v4:
            self._expand(op, left, right)
            return
        self.emit_alu(op, op.op, left, right)

    def emit_alu(self, op: ops.Alu, name: str, left: Value, right: Value) -> None:
        self.forget(op.dst)
        self.out.append(ops.Alu(op.span, name, op.dst, left, right, op.bits))
        if op.bits == 32:
            self.note_width(op.dst, 32)

    def _expand(self, op: ops.Alu, left: Value, right: Value) -> None:
        for part in expand_signed_division(op, left, right):
            if part.dst is not op.dst:
                self.single[part.dst] = 1
            self.alu(part)

    def _by_constant(self, op: ops.Alu, left: Reg, right: int) -> bool:
        """Simplify `left op constant`; False when the operation has to stay as it is."""
        name = op.op
        if name in _SHIFTS:
            right &= op.bits - 1
        elif op.bits == 32:
            right = signed(right, 32)
        if name in ("sdiv", "smod") and right > 0 and self._is_positive(left, op.bits):
            name = name[1:]
        if self._is_neutral(name, right):
            self._copy(op, left)
            return True
        if right == 0 and name in ("mul", "and", "div", "sdiv"):
            self.assign(op, op.dst, 0)
            return True
        if op.bits == 64 and self._on_whole_register(op, name, left, right):
            return True
        if right in _POWERS and name in ("mul", "div", "mod"):
            name, right = {"mul": ("lsh", _POWERS[right]), "div": ("rsh", _POWERS[right]), "mod": ("and", right - 1)}[
                name
            ]
        if name in ("sdiv", "smod") and not self.cpu_v4:
            self._expand(op, left, right)
            return True
        self.emit_alu(op, name, left, right)
        self._note_result(op, name, left, right)
        return True

    @staticmethod
    def _is_neutral(name: str, right: int) -> bool:
        if right == 0:
            return name in _NEUTRAL_ZERO or name in ("mod", "smod")
        return (right == 1 and name in ("mul", "div", "sdiv")) or (right == -1 and name == "and")

    def _is_positive(self, reg: Reg, bits: int) -> bool:
        return self.widths.get(reg, 64) < bits

    def _copy(self, op: ops.Alu, left: Reg) -> None:
        if op.bits == 64 or self.widths.get(left, 64) <= 32:
            self.assign(op, op.dst, left)
        else:
            self.emit_alu(op, "add", left, 0)

    def _on_whole_register(self, op: ops.Alu, name: str, left: Reg, right: int) -> bool:
        """64-bit forms: addresses plus constants, masks, and pairs of shifts that only extend."""
        recipe = self.recipes.get(left)
        if isinstance(recipe, (ops.Address, ops.MapValue)) and name in ("add", "sub"):
            offset = recipe.offset + (right if name == "add" else -right)
            if isinstance(recipe, ops.Address):
                self.cook(op, op.dst, ops.Address(op.span, op.dst, recipe.slot, offset))
            else:
                self.cook(op, op.dst, ops.MapValue(op.span, op.dst, recipe.name, offset))
            return True
        if name == "and" and right > 0 and right & (right + 1) == 0:
            return self._mask(op, left, right.bit_length())
        pair = self.shifts.get(left)
        if pair is not None and pair[1] == right and name in ("rsh", "arsh"):
            keep = 64 - right
            if name == "rsh" or self.widths.get(pair[0], 64) < keep:
                return self._mask(op, pair[0], keep)
        return False

    def _mask(self, op: ops.Alu, value: Reg, bits: int) -> bool:
        """dst = the low `bits` of value, when that is one operation."""
        if self.widths.get(value, 64) <= bits:
            self.assign(op, op.dst, value)
        elif bits == 32:
            self.forget(op.dst)
            self.out.append(ops.Alu(op.span, "add", op.dst, value, 0, 32))
            self.note_width(op.dst, 32)
        elif bits < 32:
            self.emit_alu(op, "and", value, (1 << bits) - 1)
            self.note_width(op.dst, bits)
        else:
            return False
        return True

    def _note_result(self, op: ops.Alu, name: str, left: Reg, right: int) -> None:
        """Remember what later operations can use, of results that are made once from what is made once."""
        if name == "and" and right >= 0:
            self.note_width(op.dst, right.bit_length())
        elif name == "rsh":
            self.note_width(op.dst, min(self.widths.get(left, op.bits), op.bits) - right)
        if op.bits != 64 or not self.forward_only or op.dst not in self.single or left not in self.single:
            return
        if name == "lsh":
            self.shifts[op.dst] = (left, right)
        elif name in ("add", "sub") and fits_s32(right):
            origin, distance = self.sums.get(left, (left, 0))
            self.sums[op.dst] = (origin, distance + (right if name == "add" else -right))

    def note_width(self, dst: Reg, bits: int) -> None:
        if dst in self.single:
            self.widths[dst] = max(bits, 0)

    def byte_swap(self, op: ops.ByteSwap) -> None:
        value = self.value(op.src)
        if isinstance(value, int):
            self.assign(op, op.dst, fold_byte_swap(value, op.bits))
            return
        self.forget(op.dst)
        self.out.append(ops.ByteSwap(op.span, op.dst, value, op.bits))
        self.note_width(op.dst, op.bits)

    def load(self, op: ops.Load) -> None:
        base, offset = self.base(op.base, op.offset)
        self.forget(op.dst)
        self.out.append(ops.Load(op.span, op.dst, base, offset, op.size, op.signed))
        if not op.signed:
            self.note_width(op.dst, 8 * op.size)

    def store(self, op: ops.Store) -> None:
        base, offset = self.base(op.base, op.offset)
        self.out.append(ops.Store(op.span, base, offset, op.size, self.value(op.value)))

    def atomic(self, op: ops.Atomic) -> None:
        base, offset = self.base(op.base, op.offset)
        value = self.register(op.value)
        expected = self.register(op.expected) if op.expected is not None else None
        if op.dst is not None:
            self.forget(op.dst)
        self.out.append(ops.Atomic(op.span, op.op, base, offset, op.size, value, op.dst, expected))

    def parameter(self, op: ops.Parameter) -> None:
        self.assign(op, op.dst, self.parameters[op.index])

    def helper(self, op: ops.CallHelper) -> None:
        args = tuple([self.value(arg) for arg in op.args])
        if op.helper == "loop" and args[0] == 0:
            # A callback that the verifier sees is never called is removed as dead code, and the load of its address
            # then makes the kernel refuse the program (Linux 6.18: "No program to jit").
            if op.dst is not None:
                self.assign(op, op.dst, 0)
            return
        if op.dst is not None:
            self.forget(op.dst)
        self.out.append(ops.CallHelper(op.span, op.dst, op.helper, args))

    def kfunc(self, op: ops.CallKfunc) -> None:
        args = tuple([self.value(arg) for arg in op.args])
        if op.dst is not None:
            self.forget(op.dst)
        self.out.append(ops.CallKfunc(op.span, op.dst, op.kfunc, args))

    # -- control ------------------------------------------------------------------------------------------------

    def jump(self, op: ops.Jump) -> None:
        """A jump to a lone branch whose outcome is known here goes where that branch would."""
        target = op.target
        first = target.ops[0]
        if isinstance(first, ops.Branch):
            left, right = self.value(first.left), self.value(first.right)
            if isinstance(left, int) and isinstance(right, int):
                taken = fold_compare(first.op, left, right, first.bits)
                self.out.append(ops.Jump(op.span, first.then if taken else first.otherwise))
                self.folded = True
                return
        self.out.append(op)

    def branch(self, op: ops.Branch) -> None:
        left, right, name = self.value(op.left), self.value(op.right), op.op
        if isinstance(left, int):
            if isinstance(right, int):
                taken = fold_compare(name, left, right, op.bits)
                self.out.append(ops.Jump(op.span, op.then if taken else op.otherwise))
                self.folded = True
                return
            left, right, name = right, left, _SWAPPED.get(name, name)
        if isinstance(right, int) and op.bits == 32:
            right = signed(right, 32)
        self.out.append(ops.Branch(op.span, name, left, right, op.then, op.otherwise, op.bits))

    def exit(self, op: ops.Exit) -> None:
        self.out.append(ops.Exit(op.span, self.value(op.value)))


_HANDLERS: dict[type[Op], Callable[..., None]] = {
    ops.Move: _Rewriter.move,
    ops.Alu: _Rewriter.alu,
    ops.ByteSwap: _Rewriter.byte_swap,
    ops.Load: _Rewriter.load,
    ops.Store: _Rewriter.store,
    ops.Atomic: _Rewriter.atomic,
    ops.Address: _Rewriter.reference,
    ops.MapHandle: _Rewriter.reference,
    ops.MapValue: _Rewriter.reference,
    ops.FunctionRef: _Rewriter.reference,
    ops.Context: _Rewriter.context,
    ops.Captures: _Rewriter.captures,
    ops.Parameter: _Rewriter.parameter,
    ops.CallHelper: _Rewriter.helper,
    ops.CallKfunc: _Rewriter.kfunc,
    ops.Jump: _Rewriter.jump,
    ops.Branch: _Rewriter.branch,
    ops.Exit: _Rewriter.exit,
}


def _with_dst(op: ops.Alu | ops.Load | ops.ByteSwap, dst: Reg) -> Op:
    if isinstance(op, ops.Alu):
        return ops.Alu(op.span, op.op, dst, op.left, op.right, op.bits)
    if isinstance(op, ops.Load):
        return ops.Load(op.span, dst, op.base, op.offset, op.size, op.signed)
    return ops.ByteSwap(op.span, dst, op.src, op.bits)


def _defined_once(blocks: list[Block]) -> dict[Reg, int]:
    """Registers that one operation writes -> how often they are read."""
    counts: dict[Reg, int] = {}
    uses: dict[Reg, int] = {}
    for block in blocks:
        for op in block.ops:
            dst = written(op)
            if dst is not None:
                counts[dst] = counts.get(dst, 0) + 1
            for reg in reads(op):
                uses[reg] = uses.get(reg, 0) + 1
    return {reg: uses.get(reg, 0) for reg, count in counts.items() if count == 1}


_PURE = (ops.Move, ops.Alu, ops.ByteSwap, ops.Load)


def _drop_dead(blocks: list[Block], recipes: dict[Reg, Recipe]) -> None:
    """Remove pure operations whose result nothing reads before it is written again, last first so that chains go at once."""
    uses: dict[Reg, int] = {}
    for block in blocks:
        for op in block.ops:
            for reg in reads(op):
                uses[reg] = uses.get(reg, 0) + 1
    for block in reversed(blocks):
        kept = []
        overwritten: set[Reg] = set()
        for op in reversed(block.ops):
            sources = reads(op)
            if isinstance(op, _PURE) and (not uses.get(op.dst) or op.dst in overwritten):
                for reg in sources:
                    uses[reg] -= 1
                continue
            kept.append(op)
            dst = written(op)
            if dst is not None:
                overwritten.add(dst)
            overwritten.difference_update(sources)
        kept.reverse()
        block.ops = kept
    for reg in [reg for reg in recipes if not uses.get(reg)]:
        del recipes[reg]


def simplify_function(function: Function, *, is_root: bool, cpu_v4: bool, shared: list[Slot]) -> Simplified:
    """Simplify a copy of `function`. `shared` are further slots that only this function uses (captured by nobody)."""
    blocks = tidy(copy_blocks(function.blocks))
    blocks = in_topological_order(with_plain_entry(blocks))
    promote_slots(blocks, [*function.slots, *shared])
    rewriter = _Rewriter(function, blocks, is_root, cpu_v4)
    rewriter.run()
    if rewriter.folded:
        blocks = tidy(blocks)
    blocks = in_topological_order(blocks)
    _drop_dead(blocks, rewriter.recipes)
    return Simplified(function, split_long(blocks), rewriter.recipes, rewriter.forward_only)
