"""What rules that let no derivative through recurrent products share: each weight has a trace of its own."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.rules.linear_products import LinearProducts
from recurra.learn.rules.online import Stream, weights_inside_cells
from recurra.learn.rules.rtrl import MEGABYTES, carry_sparse, contract
from recurra.learn.rules.step_function import Blocks, Step, StepFunction
from recurra.types import Cost

FEEDBACK = ("symmetric", "random")


class LocalTrace:
    """The parts that rules with cut recurrent products share: what is carried, and how the error comes to the units.

    Args:
        feedback: "symmetric" takes dL/dy as it is; "random" sends the error of the one linear read-out back through a
            fixed random matrix instead of the read-out's weights.
        where: the rule's name, for messages.
    """

    def __init__(self, feedback: str, where: str):
        if feedback not in FEEDBACK:
            raise UsageError(f"feedback is {feedback!r}", where=f"rule {where}", need="'symmetric' or 'random'")
        self.feedback, self.where = feedback, where

    def listen(self, learner: nn.Module, stream: Stream) -> LinearProducts | None:
        """What puts the random matrix in; the matrix stays the same for all streams."""
        if self.feedback == "symmetric":
            return None
        products = LinearProducts(weights_inside_cells(learner), random_feedback=True)
        products.matrices = stream.kept.setdefault("feedback", {})
        return products

    def carry(self, step: Step, stream: Stream, function: StepFunction) -> Any:
        """The traces: the exact influence of the network whose recurrent products are cut."""
        if self.feedback == "random" and step.loss.requires_grad and not stream.kept["feedback"]:
            raise UsageError(
                "no linear read-out follows the cell",
                where=f"rule {self.where}",
                need="one nn.Linear between the cell's outputs and the loss, for random feedback",
                cure="use feedback='symmetric'",
            )
        return carry_sparse(step, stream, None, MEGABYTES, self.where)

    def contract(self, row: Tensor, influence: Any) -> Blocks:
        """A row vector times the traces."""
        return contract(row, influence)

    def shown(self, name: str) -> str:
        """The rule as it is written."""
        return f"{name}()" if self.feedback == "symmetric" else f"{name}(feedback={self.feedback!r})"


def cost_of_traces(parameters: int, formula: str) -> Cost:
    """A trace a weight."""
    return Cost(float(parameters), float(parameters), formula)
