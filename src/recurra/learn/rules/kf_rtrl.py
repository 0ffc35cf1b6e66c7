"""Kronecker-factored real-time recurrent learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.rules.linear_products import LinearProducts
from recurra.learn.rules.online import OnlineRule, Stream, weights_inside_cells
from recurra.learn.rules.step_function import Blocks, Step, StepFunction
from recurra.types import Cost

TINY = 1e-30


@dataclass
class Factors:
    """For one product b = W z: M ~ u (x) A.

    Attributes:
        u: (batch, z's size).
        a: (batch, n, b's size).
        weight: the number of W.
    """

    u: Tensor
    a: Tensor
    weight: int


class KFRTRL(OnlineRule):
    """Kronecker-factored real-time recurrent learning: a random Kronecker product whose mean is the influence matrix.

    Equations:
        a weight matrix acts through a product b = W z, so F_t = z (x) H with H = ds_t/db. With M ~ u (x) A and random
        signs c1, c2, drawn anew each step:
        u' = c1 p1 u + c2 p2 z,  A' = c1 / p1 J A + c2 / p2 H,
        p1^2 = |J A| / |u|,  p2^2 = |H| / |z|,
        dL_t/dW ~ (the part past the state) + ((dL_t/ds_t) A) (x) u.

    Weights that are vectors (biases, peepholes, recurrent weights of element-wise cells) are O(n) numbers: their
    columns of M are carried exactly, at the same growth of cost.

    Args: none. The signs come from torch's global generator: `torch.manual_seed` repeats them.

    Shapes:
        the learner's own; the gradient lands in `.grad` of each parameter, added to what is there.

    Raises:
        UsageError: the state depends on a weight matrix otherwise than through its product with a vector, or sequences
            act on one another.

    Differs from the paper: gradients of a batch are added up before the weights change; each product of a step (of the
    input, of the hidden units) has factors and signs of its own, and vectors are carried exactly, so that cells with
    gates and stacks are served; each sequence has factors of its own.

    Reference:
        A. Mujika, F. Meier, A. Steger. Approximating real-time recurrent learning with random Kronecker factors.
        NeurIPS (2018) 6594-6603, arXiv:1805.10842.

    Example:
        >>> KFRTRL().cost(hidden=8, parameters=80, steps=50).time
        512.0
    """

    name = "kfrtrl"
    unbiased = True

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """J A is a product of two n x n matrices."""
        return Cost(float(hidden**3), float(hidden**2 + hidden), "time O(n^3) a step, memory O(n^2)")

    def listen(self, learner: nn.Module, stream: Stream) -> LinearProducts:
        return LinearProducts(weights_inside_cells(learner))

    def carry(self, step: Step, stream: Stream, function: StepFunction) -> Any:
        products = function.products
        assert products is not None
        factors = _immediate(step, products)
        _refuse_other_paths(step, factors, function.names)
        vectors = [number for number, weight in enumerate(step.weights) if weight.dim() < 2]
        jacobian, exact = step.derivatives(vectors)
        if stream.influence is None:
            return factors, exact
        last, last_exact = stream.influence
        for number, block in last_exact.items():
            exact[number] = jacobian @ block + exact.get(number, 0.0)
        if [f.weight for f in last] != [f.weight for f in factors]:
            raise UsageError(
                "the steps make different products of weights",
                where="rule kfrtrl",
                need="the same products in the same order at every step",
                cure="use the rule rtrl or uoro",
            )
        return [_joined(jacobian, old, new) for old, new in zip(last, factors, strict=True)], exact

    def contract(self, row: Tensor, influence: Any) -> Blocks:
        factors, exact = influence
        found = {number: torch.einsum("bn,bnp->p", row, block) for number, block in exact.items()}
        for each in factors:
            whole = torch.einsum("bo,bi->oi", torch.einsum("bn,bno->bo", row, each.a), each.u).reshape(-1)
            found[each.weight] = found[each.weight] + whole if each.weight in found else whole
        return found


def _joined(jacobian: Tensor, old: Factors, new: Factors) -> Factors:
    """One Kronecker product for the sum of two, with random signs."""
    signs = torch.randint(0, 2, (2, len(new.u), 1), device=new.u.device).to(new.u.dtype) * 2 - 1
    along = jacobian @ old.a
    p1, p2 = _balance(along, old.u), _balance(new.a, new.u)
    u = signs[0] * p1 * old.u + signs[1] * p2 * new.u
    a = (signs[0] / p1)[..., None] * along + (signs[1] / p2)[..., None] * new.a
    return Factors(u, a, new.weight)


def _balance(matrix: Tensor, vector: Tensor) -> Tensor:
    """The factor that makes both parts of a product equally long; 1 where one of them is zero."""
    above, below = matrix.flatten(1).norm(dim=1), vector.norm(dim=1)
    fits = (above > TINY) & (below > TINY)
    return torch.where(fits, above / below.clamp_min(TINY), torch.ones_like(above)).sqrt()[:, None]


def _immediate(step: Step, products: LinearProducts) -> list[Factors]:
    """F_t by its factors, one entry a product that the state depends on."""
    made = [product for product in products.made if product.made.requires_grad]
    if not made or not step.after.requires_grad:
        return []
    one = torch.eye(step.units, dtype=step.after.dtype, device=step.after.device)
    found = torch.autograd.grad(
        step.after,
        [product.made for product in made],
        one[:, None].expand(-1, step.size, -1),
        retain_graph=True,
        allow_unused=True,
        is_grads_batched=True,
    )
    factors = []
    for product, by_made in zip(made, found, strict=True):
        if by_made is not None:
            z = product.given.detach().reshape(step.size, -1)
            a = by_made.reshape(step.units, step.size, -1).transpose(0, 1)
            factors.append(Factors(z, a, product.weight))
    return factors


def _refuse_other_paths(step: Step, factors: list[Factors], names: list[str]) -> None:
    """Compare a random product of the whole derivative by weight matrices with the factors'."""
    probe = torch.randn_like(step.after)
    matrices = [number for number, weight in enumerate(step.weights) if weight.dim() > 1]
    truth = step.pull(probe[None], matrices)[0]
    found = KFRTRL().contract(probe, (factors, {}))
    allowed = 1e3 * torch.finfo(probe.dtype).eps
    for number, block in truth.items():
        got = found.get(number, torch.zeros_like(block[0]))
        if bool(((got - block[0]).abs() > allowed * block.abs().max().clamp_min(TINY)).any()):
            raise UsageError(
                f"the state depends on the weight {names[number]} otherwise than through a product W z",
                where="rule kfrtrl",
                need="weight matrices that enter in products with vectors",
                cure="use the rule rtrl (exact, and quick for element-wise cells) or uoro",
            )
