"""Random IR programs that end, with all kinds of operations, for tests that compare two ways to run them."""

from __future__ import annotations

import random

from kloupe.ir.builder import Builder
from kloupe.ir.ops import Reg, Slot

ALU = ("add", "sub", "mul", "div", "mod", "and", "or", "xor", "lsh", "rsh", "arsh", "sdiv", "smod", "neg")
COMPARE = ("eq", "ne", "lt", "le", "gt", "ge", "slt", "sle", "sgt", "sge", "set")
INTERESTING = (0, 1, -1, 2, 5, 8, 255, 256, 65535, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, -0x80000000, 1 << 40, -(1 << 63))


class RandomProgram:
    """Builds one program from a seed. Values are numbers only; pointers are used where they are made."""

    def __init__(self, seed: int, size: int = 40, callbacks: bool = True, big_slots: bool = False) -> None:
        self.random = random.Random(seed)
        self.builder = Builder(f"random{seed}")
        self.out = 0
        self.size = size
        self.callbacks = callbacks
        self.big_slots = big_slots
        self.depth = 0
        self.values: list[Reg] = []
        self.variables: list[Reg] = []
        self.slots: list[Slot] = []  # written whole
        self.captured: list[Slot] = []

    def build(self):
        b = self.builder
        for _ in range(self.random.randint(1, 3)):
            slot = b.slot(8, captured=True)
            b.store(slot, 0, 8, self.constant())
            self.captured.append(slot)
        if self.big_slots and self.random.random() < 0.5:
            slot = b.slot(64, captured=True)
            for offset in range(0, 64, 8):
                b.store(slot, offset, 8, offset)
            self.captured.append(slot)
        for _ in range(self.random.randint(0, 5)):
            reg = b.reg()
            b.move(reg, self.constant())
            self.variables.append(reg)
        self.statements(self.size)
        for reg in (*self.variables, *self.values[-6:]):
            self.emit(reg)
        b.exit(self.value())
        return b.program

    def constant(self) -> int:
        r = self.random
        return r.choice(INTERESTING) if r.random() < 0.4 else r.randint(-100, 1000)

    def value(self):
        r = self.random
        choice = r.random()
        if choice < 0.25 or not (self.values or self.variables):
            return self.constant()
        if choice < 0.5 and self.variables:
            return r.choice(self.variables)
        return r.choice(self.values[-12:]) if self.values else r.choice(self.variables)

    def register(self) -> Reg:
        value = self.value()
        return self.builder.const(value) if isinstance(value, int) else value

    def emit(self, value) -> None:
        self.builder.store(self.builder.map_value("out", 0), 8 * self.out % 2048, 8, value)
        self.out += 1

    def statements(self, count: int) -> None:
        for _ in range(count):
            weights = self.KINDS
            kind = self.random.choices([k for k, _ in weights], [w for _, w in weights])[0]
            kind(self)

    def alu(self) -> None:
        op = self.random.choice(ALU)
        result = self.builder.alu(op, self.value(), self.value(), self.random.choice((64, 64, 32)))
        self.keep(result)

    def keep(self, result: Reg) -> None:
        if self.variables and self.random.random() < 0.3:
            self.builder.move(self.random.choice(self.variables), result)
        else:
            self.values.append(result)

    def assign(self) -> None:
        if self.variables:
            self.builder.move(self.random.choice(self.variables), self.value())

    def swap(self) -> None:
        self.keep(self.builder.byte_swap(self.register(), self.random.choice((16, 32, 64))))

    def extend(self) -> None:
        self.keep(self.builder.extend(self.register(), self.random.choice((1, 2, 4)), self.random.random() < 0.5))

    def context_load(self) -> None:
        size = self.random.choice((1, 2, 4, 8))
        offset = self.random.randrange(0, 64, size)
        self.keep(self.builder.load(self.builder.context(), offset, size, self.random.random() < 0.4))

    def map_access(self) -> None:
        b, r = self.builder, self.random
        size = r.choice((1, 2, 4, 8))
        base = b.map_value("data", 8 * r.randrange(4))
        if r.random() < 0.5:
            b.store(base, r.randrange(0, 32, size), size, self.value())
        else:
            self.keep(b.load(base, r.randrange(0, 32, size), size, r.random() < 0.4))

    def atomic(self) -> None:
        b, r = self.builder, self.random
        size = r.choice((4, 8))
        base = b.map_value("data", 0)
        op = r.choice(("add", "and", "or", "xor", "xchg", "cmpxchg"))
        expected = self.register() if op == "cmpxchg" else None
        fetch = op != "cmpxchg" and r.random() < 0.5
        old = b.atomic(op, base, 8 * r.randrange(4), size, self.register(), fetch=fetch, expected=expected)
        if old is not None:
            self.keep(old)

    def slot_use(self) -> None:
        b, r = self.builder, self.random
        size = r.choice((8, 8, 16, 24) if not self.big_slots else (8, 16, 40, 128, 520))
        slot = b.slot(size)
        for offset in range(0, size, 8):
            b.store(slot, offset, 8, self.value())
        if r.random() < 0.5:
            b.call("probe_read_kernel", b.address(slot), size // 2, self.value())
        if r.random() < 0.5:
            self.keep(b.call("strncmp", b.address(slot), size, self.value()))
        part = r.choice((1, 2, 4, 8))
        self.keep(b.load(slot, r.randrange(0, size, part), part, r.random() < 0.5))
        if r.random() < 0.3:
            pointer = b.alu("add", b.address(slot), 8 * r.randrange(size // 8))
            self.keep(b.load(pointer, 0, 8))

    def captured_use(self) -> None:
        b, r = self.builder, self.random
        slot = r.choice(self.captured)
        offset = r.randrange(0, slot.size, 8)
        if r.random() < 0.5:
            b.store(slot, offset, 8, self.value())
        else:
            self.keep(b.load(slot, offset, 8))

    def call(self) -> None:
        r = self.random
        name = r.choice(("ktime_get_ns", "send_signal", "probe_read", "map_update_elem", "perf_event_output"))
        count = {"ktime_get_ns": 0, "send_signal": 1, "probe_read": 3, "map_update_elem": 4}.get(name, 5)
        result = self.builder.call(name, *(self.value() for _ in range(count)))
        if r.random() < 0.8:
            self.keep(result)

    def nested(self, count: int) -> None:
        """Statements whose values nobody outside may use, since they may not run."""
        saved = self.values[:]
        self.depth += 1
        self.statements(count)
        self.depth -= 1
        self.values = saved

    def conditional(self) -> None:
        if self.depth > 3:
            return
        b, r = self.builder, self.random
        then, otherwise, done = b.block(), b.block(), b.block()
        two_sided = r.random() < 0.6
        b.branch(
            r.choice(COMPARE), self.value(), self.value(), then, otherwise if two_sided else done, r.choice((64, 32))
        )
        for block in (then, otherwise)[: 1 + two_sided]:
            b.start(block)
            self.nested(r.randint(0, 5))
            if r.random() < 0.1:
                b.exit(self.value() if b.function is b.program.functions[0] else 1)
            b.jump(done)
        b.start(done)

    def choose(self) -> None:
        """A value that two ways give."""
        b, r = self.builder, self.random
        then, otherwise, done, result = b.block(), b.block(), b.block(), b.reg()
        b.branch(r.choice(COMPARE), self.value(), self.value(), then, otherwise)
        b.start(then)
        b.move(result, b.alu(r.choice(ALU), self.value(), self.value()) if r.random() < 0.5 else self.value())
        b.jump(done)
        b.start(otherwise)
        b.move(result, self.value())
        b.jump(done)
        b.start(done)
        self.values.append(result)

    def loop(self) -> None:
        if self.depth > 1:
            return
        b, r = self.builder, self.random
        counter, head, body, done = b.reg(), b.block(), b.block(), b.block()
        b.move(counter, 0)
        b.jump(head)
        b.start(head)
        b.branch("lt", counter, r.randint(0, 4), body, done)
        b.start(body)
        self.nested(r.randint(1, 5))
        b.move(counter, b.alu("add", counter, 1))
        b.jump(head)
        b.start(done)

    def callback(self) -> None:
        if self.depth or not self.callbacks:
            return
        b, r = self.builder, self.random
        saved = (self.values, self.variables)
        with b.callback(f"callback{len(b.program.functions)}", 2, 1) as function:
            index = b.parameter(0)
            self.values, self.variables = [index], []
            self.depth += 1
            self.statements(r.randint(1, 8))
            self.depth -= 1
            self.captured_use()
            b.exit(0 if r.random() < 0.8 else b.alu("and", self.value(), 1))
        self.values, self.variables = saved
        self.keep(b.call("loop", r.randint(0, 4), b.function_ref(function), b.captures(), 0))

    KINDS = (
        (alu, 10),
        (assign, 3),
        (swap, 1),
        (extend, 2),
        (context_load, 2),
        (map_access, 3),
        (atomic, 1),
        (slot_use, 2),
        (captured_use, 2),
        (call, 2),
        (conditional, 2),
        (choose, 2),
        (loop, 0.7),
        (callback, 0.7),
    )


class KernelProgram(RandomProgram):
    """What a kernel takes and answers always alike: its helpers are those of a hash map, its loops bpf_loop's."""

    def context_load(self) -> None:
        self.alu()

    def call(self) -> None:
        b, r = self.builder, self.random
        key, value = b.slot(8), b.slot(8)
        b.store(key, 0, 8, b.alu("and", self.value(), 7))
        if r.random() < 0.5:
            b.store(value, 0, 8, self.value())
            b.call("map_update_elem", b.map("@hash"), b.address(key), b.address(value), 0)
            return
        found = b.call("map_lookup_elem", b.map("@hash"), b.address(key))
        missing, present, done, result = b.block(), b.block(), b.block(), b.reg()
        b.branch("eq", found, 0, missing, present)
        b.start(missing)
        b.move(result, -5)
        b.jump(done)
        b.start(present)
        if r.random() < 0.5:
            b.atomic("add", found, 0, 8, self.register())
        b.move(result, b.load(found, 0, 8))
        b.jump(done)
        b.start(done)
        self.keep(result)

    def slot_use(self) -> None:
        b, r = self.builder, self.random
        size = r.choice((8, 8, 16, 24) if not self.big_slots else (8, 16, 40, 128, 520))
        slot = b.slot(size)
        for offset in range(0, size, 8):
            b.store(slot, offset, 8, self.value())
        if r.random() < 0.5:
            b.call("map_update_elem", b.map("@hash"), b.address(slot), b.address(slot, size - 8), 0)
        part = r.choice((1, 2, 4, 8))
        self.keep(b.load(slot, r.randrange(0, size, part), part, r.random() < 0.5))

    def loop(self) -> None:
        self.callback()

    KINDS = tuple(
        (method, weight)
        for method, weight in (
            (RandomProgram.alu, 10),
            (RandomProgram.assign, 3),
            (RandomProgram.swap, 1),
            (RandomProgram.extend, 2),
            (RandomProgram.map_access, 3),
            (RandomProgram.atomic, 1),
            (slot_use, 2),
            (RandomProgram.captured_use, 2),
            (call, 3),
            (RandomProgram.conditional, 2),
            (RandomProgram.choose, 2),
            (RandomProgram.callback, 1),
        )
    )
