"""A function of tensors with a gradient written out by hand, beside the same function in plain operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import in_transform

Tensors = tuple[Tensor, ...]
Plain = Callable[..., Tensors]
Quick = Callable[..., tuple[Tensors, Tensors]]
Gradient = Callable[[Tensors, Tensors, Tensors, Tensors], Tensors]


def own_gradient(plain: Plain, quick: Quick, gradient: Gradient, inputs: Tensors) -> Tensors:
    """Compute a function by `quick` and its first derivative by `gradient`, and all else by `plain`.

    A step of a machine with a memory is many operations on few numbers, and most of its time goes into noting them for
    the gradient one by one. Transforms, forward-mode and higher derivatives, export and autocast see plain operations.

    Args:
        plain: the function in plain operations.
        quick: the same; gives its outputs, and what the gradient needs besides. No derivative goes through it.
        gradient: from the inputs, the outputs, what `quick` kept and the outputs' gradients to those of the inputs.
        inputs: of the function.

    Example:
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> double = lambda inputs, outputs, kept, gradients: (2 * inputs[0] * gradients[0],)
        >>> (y,) = own_gradient(lambda x: (x * x,), lambda x: ((x.square(),), ()), double, (x,))
        >>> torch.autograd.grad(y, x)
        (tensor(6.),)
    """
    if in_transform() or torch.compiler.is_compiling() or torch.is_autocast_enabled(inputs[0].device.type):
        return plain(*inputs)
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in inputs):
        return quick(*inputs)[0]
    return _OwnGradient.apply(plain, quick, gradient, *inputs)


class _OwnGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plain: Plain, quick: Quick, gradient: Gradient, *inputs: Tensor) -> Tensors:
        outputs, kept = quick(*inputs)
        ctx.plain, ctx.gradient, ctx.counts = plain, gradient, (len(inputs), len(inputs) + len(outputs))
        ctx.save_for_backward(*inputs, *outputs, *kept)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        first, second = ctx.counts
        inputs = ctx.saved_tensors[:first]
        # `is_grads_batched` runs under a vmap of its own kind, which is seen by its tensors alone.
        batched = any(torch._C._functorch.is_legacy_batchedtensor(gradient) for gradient in gradients)
        if torch.is_grad_enabled() or in_transform() or batched:
            found = _by_plain_operations(ctx.plain, inputs, gradients, ctx.needs_input_grad[3:])
        else:
            found = ctx.gradient(inputs, ctx.saved_tensors[first:second], ctx.saved_tensors[second:], gradients)
        return (None, None, None, *found)


def _by_plain_operations(
    plain: Plain, inputs: Tensors, gradients: Tensors, wanted: tuple[bool, ...]
) -> list[Tensor | None]:
    """Gradients that can be differentiated once more."""
    create = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, since one input may be made from another, and only the direct way counts here.
        own = [tensor.view_as(tensor) for tensor in inputs]
        outputs = plain(*own)
        pairs = [
            (output, gradient) for output, gradient in zip(outputs, gradients, strict=True) if output.requires_grad
        ]
        asked = [tensor for tensor, needed in zip(own, wanted, strict=True) if needed]
        found = iter(
            torch.autograd.grad(
                [output for output, _ in pairs],
                asked,
                [gradient for _, gradient in pairs],
                create_graph=create,
                allow_unused=True,
            )
        )
    return [next(found) if needed else None for needed in wanted]
