"""The functions that networks use, on vectors: exp, sigmoid, tanh and their like."""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

from recurra.native.machine import Machine
from recurra.native.vectors import I32, Vectors

# The polynomial of degree 6 with the smallest relative error to e^r on |r| <= log(2) / 2, 1.9e-9.
EXP: tuple[float, ...] = (1.0, 1.0000000363447408, 0.4999999207507665, 0.16666420072030041, 0.0416682261920084)
EXP += (0.008374824056639859, 0.001383683559480076)
# tanh x = x top(x^2) / below(x^2) on |x| < 7.9, beyond which tanh is 1 in float32.
TANH_BOUND = 7.90531110763549805
TANH_TOP: tuple[float, ...] = (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08)
TANH_TOP += (-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16)
TANH_BELOW = (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
LOG2_HIGH, LOG2_LOW = 0.693145751953125, 1.428606765330187e-06
# log m = 2 s (1 + s^2 / 3 + s^4 / 5 + ...), s = (m - 1) / (m + 1), |s| < 0.172 for m between 1 / sqrt 2 and sqrt 2.
LOG: tuple[float, ...] = (2 / 3, 2 / 5, 2 / 7, 2 / 9)
HALF_ROOT = 0x3F3504F3
"""The bits of 1 / sqrt 2."""


class Functions(Vectors):
    """Vectors with the functions that networks use.

    In float32, exp, sigmoid and tanh are accurate to a few units in the last place; in float64, and in what is used
    rarely, each number goes through the C library.

    Args:
        builder: where instructions go.
        double: float64 instead of float32.
        machine: the processor.
    """

    def __init__(self, builder: ir.IRBuilder, double: bool, machine: Machine):
        super().__init__(builder, double, machine.lanes(double), machine.fused)
        self.wide = machine.avx512 and not double

    def _library(self, name: str, x: Any) -> Any:
        """A function of the C library, number by number."""
        known = self.module.globals.get(name)
        function = known or ir.Function(self.module, ir.FunctionType(self.number, [self.number]), name)
        result = ir.Constant(self.kind, ir.Undefined)
        for lane in range(self.lanes):
            value = self.b.call(function, [self.b.extract_element(x, I32(lane))])
            result = self.b.insert_element(result, value, I32(lane))
        return result

    def _polynomial(self, x: Any, coefficients: tuple[float, ...]) -> Any:
        """Horner's scheme; the highest power comes last."""
        result = self.const(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            result = self.fma(result, x, self.const(c))
        return result

    def _at_most(self, x: Any, bound: float) -> Any:
        # The order of the operands lets NaN pass.
        high = self.const(bound)
        return self.b.select(self.b.fcmp_ordered(">", x, high), high, x)

    def _at_least(self, x: Any, bound: float) -> Any:
        low = self.const(bound)
        return self.b.select(self.b.fcmp_ordered("<", x, low), low, x)

    def _exp(self, x: Any) -> Any:
        """2^n e^r, n the nearest whole number to x / log 2."""
        if self.double:
            return self._library("exp", x)
        return self._exp_within(self._at_most(self._at_least(x, -104.0), 88.8))

    def _exp_within(self, x: Any, sign: float = 1.0) -> Any:
        """exp of x, or of -x, for exponents between -104 and 88.8."""
        n = self.call("llvm.rint", self.b.fmul(x, self.const(sign * math.log2(math.e))))
        r = self.fma(n, self.const(-LOG2_HIGH), x if sign > 0 else self._neg(x))
        r = self.fma(n, self.const(-LOG2_LOW), r)
        result = self._polynomial(r, EXP)
        if self.wide:
            return self._scaled(result, n)
        power = self.b.fptosi(n, self.wholes)
        # In two halves, so that the results just above zero and just below infinity are right as well.
        half = self.b.ashr(power, self.whole_const(1))
        for part in (half, self.b.sub(power, half)):
            shifted = self.b.shl(self.b.add(part, self.whole_const(127)), self.whole_const(23))
            result = self.b.fmul(result, self.b.bitcast(shifted, self.kind))
        return result

    def _scaled(self, x: Any, n: Any) -> Any:
        """x 2^n in one instruction."""
        flags = ir.IntType(16)
        kind = ir.FunctionType(self.kind, [self.kind, self.kind, self.kind, flags, I32])
        name = "llvm.x86.avx512.mask.scalef.ps.512"
        function = self.module.globals.get(name) or ir.Function(self.module, kind, name)
        return self.b.call(function, [x, n, x, flags(-1), I32(4)])

    def _inverse(self, x: Any) -> Any:
        """1 / x for ordinary numbers, |x| between 1e-37 and 1e37."""
        if not self.wide:
            return self.b.fdiv(self.const(1.0), x)
        flags = ir.IntType(16)
        name = "llvm.x86.avx512.rcp14.ps.512"
        kind = ir.FunctionType(self.kind, [self.kind, self.kind, flags])
        function = self.module.globals.get(name) or ir.Function(self.module, kind, name)
        # 14 bits, doubled by Newton's rule.
        first = self.b.call(function, [x, ir.Constant(self.kind, ir.Undefined), flags(-1)])
        rest = self.fma(self._neg(x), first, self.const(1.0))
        return self.fma(first, rest, first)

    def _sigmoid(self, x: Any) -> Any:
        if self.double:
            return self._reciprocal(self.b.fadd(self.const(1.0), self._exp(self._neg(x))))
        # Below -84 the result is 3e-37 rather than less.
        e = self._exp_within(self._at_most(self._at_least(x, -84.0), 104.0), -1.0)
        return self._inverse(self.b.fadd(self.const(1.0), e))

    def _tanh(self, x: Any) -> Any:
        if self.double:
            return self._library("tanh", x)
        inside = self._at_least(self._at_most(x, TANH_BOUND), -TANH_BOUND)
        square = self.b.fmul(inside, inside)
        top = self.b.fmul(inside, self._polynomial(square, TANH_TOP))
        return self.b.fmul(top, self._inverse(self._polynomial(square, TANH_BELOW)))

    def _log(self, x: Any) -> Any:
        return self._library("log" if self.double else "logf", x)

    def log_within(self, x: Any) -> Any:
        """log of ordinary numbers above 1e-37."""
        if self.double:
            return self._log(x)
        b = self.b
        bits = b.bitcast(x, self.wholes)
        power = b.ashr(b.sub(bits, self.whole_const(HALF_ROOT)), self.whole_const(23))
        m = b.bitcast(b.sub(bits, b.shl(power, self.whole_const(23))), self.kind)
        n = b.sitofp(power, self.kind)
        s = b.fdiv(b.fsub(m, self.const(1.0)), b.fadd(m, self.const(1.0)))
        square = b.fmul(s, s)
        tail = b.fmul(b.fmul(s, square), self._polynomial(square, LOG))
        rest = self.fma(n, self.const(LOG2_LOW), b.fadd(tail, b.fadd(s, s)))
        return self.fma(n, self.const(LOG2_HIGH), rest)

    def softplus(self, x: Any) -> Any:
        """log(1 + exp(x)) = max(x, 0) + log(1 + t), t = exp(-|x|)."""
        b = self.b
        t = self._exp(self._neg(self._abs(x)))
        one = self.const(1.0)
        total = b.fadd(one, t)
        # What 1 + t was rounded by comes in again by the factor t / ((1 + t) - 1).
        gained = b.fsub(total, one)
        none = b.fcmp_ordered("==", gained, self.const(0.0))
        log = b.fmul(self.log_within(total), b.fdiv(t, b.select(none, one, gained)))
        return b.fadd(self._relu(x), b.select(none, t, log))

    def _log1p(self, x: Any) -> Any:
        return self._library("log1p" if self.double else "log1pf", x)

    def _expm1(self, x: Any) -> Any:
        return self._library("expm1" if self.double else "expm1f", x)

    def _sin(self, x: Any) -> Any:
        return self._library("sin" if self.double else "sinf", x)

    def _cos(self, x: Any) -> Any:
        return self._library("cos" if self.double else "cosf", x)

    def _erf(self, x: Any) -> Any:
        return self._library("erf" if self.double else "erff", x)
