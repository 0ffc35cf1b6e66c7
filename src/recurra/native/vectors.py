"""Vector arithmetic in LLVM's language: constants, loads and stores of parts, plain operations."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

I32, I64, I8 = ir.IntType(32), ir.IntType(64), ir.IntType(8)


class Vectors:
    """Emits operations on vectors of one kind.

    Args:
        builder: where instructions go.
        double: float64 instead of float32.
        lanes: numbers in a vector.
        fused: whether the processor has a product and a sum as one instruction.
    """

    def __init__(self, builder: ir.IRBuilder, double: bool, lanes: int, fused: bool = True):
        self.b, self.double, self.lanes, self.fused = builder, double, lanes, fused
        self.number: Any = ir.DoubleType() if double else ir.FloatType()
        self.whole: Any = I64 if double else I32
        self.kind = ir.VectorType(self.number, lanes)
        self.wholes = ir.VectorType(self.whole, lanes)
        self.module = builder.module

    # -- constants, memory

    def const(self, value: float) -> Any:
        """The same number in all lanes."""
        if not self.double:
            with np.errstate(over="ignore"):
                value = float(np.float32(value))
        return ir.Constant(self.kind, [value] * self.lanes)

    def whole_const(self, value: int) -> Any:
        """The same whole number in all lanes."""
        return ir.Constant(self.wholes, [value] * self.lanes)

    def splat(self, value: Any) -> Any:
        """One number in all lanes."""
        undefined = ir.Constant(self.kind, ir.Undefined)
        first = self.b.insert_element(undefined, value, I32(0))
        return self.b.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes))

    def prefetch(self, pointer: Any, near: int = 3) -> None:
        """Ask for what will be read soon: into the first cache (3) or the second (2)."""
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32])
        known = self.module.globals.get("llvm.prefetch.p0")
        function = known or ir.Function(self.module, kind, "llvm.prefetch.p0")
        self.b.call(function, [pointer, I32(0), I32(near), I32(1)])

    def mask(self, count: int) -> Any:
        """True in the first lanes."""
        return ir.Constant(ir.VectorType(ir.IntType(1), self.lanes), [int(k < count) for k in range(self.lanes)])

    def load(self, pointer: Any, count: int) -> Any:
        """`count` numbers from here on, the other lanes zero."""
        at = self.b.bitcast(pointer, self.kind.as_pointer())
        if count == self.lanes:
            found = self.b.load(at)
            found.align = 8 if self.double else 4
            return found
        load = self._intrinsic(
            "llvm.masked.load", [self.kind, at.type], self.kind, [at.type, I32, self._flags(), self.kind]
        )
        return self.b.call(load, [at, I32(8 if self.double else 4), self.mask(count), self.const(0.0)])

    def store(self, value: Any, pointer: Any, count: int) -> None:
        """The first `count` numbers, from here on."""
        at = self.b.bitcast(pointer, self.kind.as_pointer())
        if count == self.lanes:
            self.b.store(value, at).align = 8 if self.double else 4
            return
        void = ir.VoidType()
        store = self._intrinsic(
            "llvm.masked.store", [self.kind, at.type], void, [self.kind, at.type, I32, self._flags()]
        )
        self.b.call(store, [value, at, I32(8 if self.double else 4), self.mask(count)])

    def _flags(self) -> Any:
        return ir.VectorType(ir.IntType(1), self.lanes)

    def _intrinsic(self, name: str, overloads: list[Any], result: Any, args: list[Any]) -> Any:
        full = name + "".join(f".{self._mangled(kind)}" for kind in overloads)
        known = self.module.globals.get(full)
        return known or ir.Function(self.module, ir.FunctionType(result, args), full)

    def _mangled(self, kind: Any) -> str:
        if isinstance(kind, ir.PointerType):
            return "p0"
        base = "f64" if self.double else "f32"
        return f"v{self.lanes}{base}" if isinstance(kind, ir.VectorType) else base

    def call(self, name: str, *args: Any) -> Any:
        """An intrinsic on vectors of this kind."""
        return self.b.call(self._intrinsic(name, [self.kind], self.kind, [self.kind] * len(args)), list(args))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, rounded once where the processor can."""
        if not self.fused:
            return self.b.fadd(self.b.fmul(a, b), c)
        return self.call("llvm.fma", a, b, c)

    # -- operations of the graph, by their names

    def apply(self, op: str, args: list[Any]) -> Any:
        """An operation of the graph."""
        b = self.b
        plain = {"add": b.fadd, "sub": b.fsub, "mul": b.fmul}
        if op in plain:
            return plain[op](*args)
        compare = {"lt": "<", "gt": ">", "le": "<=", "ge": ">=", "eq": "=="}
        if op in compare:
            return b.fcmp_ordered(compare[op], *args)
        return getattr(self, f"_{op}")(*args)

    def _div(self, x: Any, y: Any) -> Any:
        return self.b.fdiv(x, y)

    def _ne(self, x: Any, y: Any) -> Any:
        return self.b.fcmp_unordered("!=", x, y)

    def _round(self, x: Any) -> Any:
        return self.call("llvm.rint", x)

    def _flag(self, x: Any) -> Any:
        """True or false in each lane; numbers count as true where they are not 0."""
        return x if x.type.element == ir.IntType(1) else self.b.fcmp_unordered("!=", x, self.const(0.0))

    def _isnan(self, x: Any) -> Any:
        return self.b.fcmp_unordered("uno", x, x)

    def _logical_and(self, x: Any, y: Any) -> Any:
        return self.b.and_(self._flag(x), self._flag(y))

    def _logical_or(self, x: Any, y: Any) -> Any:
        return self.b.or_(self._flag(x), self._flag(y))

    def _logical_not(self, x: Any) -> Any:
        return self.b.not_(self._flag(x))

    _bitwise_and, _bitwise_or, _bitwise_not, _logical_and_ = _logical_and, _logical_or, _logical_not, _logical_and

    def _where(self, condition: Any, yes: Any, no: Any) -> Any:
        return self.b.select(self._flag(condition), yes, no)

    def _fill(self, x: Any) -> Any:
        return x

    def _neg(self, x: Any) -> Any:
        return self.b.fneg(x)

    def _abs(self, x: Any) -> Any:
        return self.call("llvm.fabs", x)

    def _sqrt(self, x: Any) -> Any:
        return self.call("llvm.sqrt", x)

    def _floor(self, x: Any) -> Any:
        return self.call("llvm.floor", x)

    def _reciprocal(self, x: Any) -> Any:
        return self.b.fdiv(self.const(1.0), x)

    def _rsqrt(self, x: Any) -> Any:
        return self.b.fdiv(self.const(1.0), self._sqrt(x))

    def _relu(self, x: Any) -> Any:
        # Written so that NaN passes, as it does in torch.
        return self.b.select(self.b.fcmp_ordered("<=", x, self.const(0.0)), self.const(0.0), x)

    def _maximum(self, x: Any, y: Any) -> Any:
        larger = self.b.select(self.b.fcmp_ordered(">", x, y), x, y)
        return self.b.select(self.b.fcmp_unordered("uno", x, x), x, larger)

    def _minimum(self, x: Any, y: Any) -> Any:
        smaller = self.b.select(self.b.fcmp_ordered("<", x, y), x, y)
        return self.b.select(self.b.fcmp_unordered("uno", x, x), x, smaller)

    def _sign(self, x: Any) -> Any:
        zero = self.const(0.0)
        below = self.b.select(self.b.fcmp_ordered("<", x, zero), self.const(-1.0), zero)
        return self.b.select(self.b.fcmp_ordered(">", x, zero), self.const(1.0), below)
