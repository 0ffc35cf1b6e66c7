"""Closed forms: weights without descent. Readouts by least squares, FORCE, Evolino, and rules for associative nets."""

from recurra.learn.closed.anti_hebbian import LateralWeights, anti_hebbian, lateral_outputs
from recurra.learn.closed.chaotic import chaotic_network
from recurra.learn.closed.closed_loop import ClosedLoop, ClosedLoopState
from recurra.learn.closed.evolino import Evaluation, Evolino
from recurra.learn.closed.force import FORCE
from recurra.learn.closed.hebbian import hebbian
from recurra.learn.closed.least_squares import least_squares
from recurra.learn.closed.oja import oja
from recurra.learn.closed.pseudo_inverse import pseudo_inverse
from recurra.learn.closed.recursive_least_squares import RecursiveLeastSquares
from recurra.learn.closed.ridge import ConditionWarning, Ridge, RidgePath
from recurra.learn.closed.sequences import Sequences
from recurra.learn.closed.storkey import storkey
from recurra.learn.closed.triangular import triangular_factor

__all__ = [
    "FORCE",
    "ClosedLoop",
    "ClosedLoopState",
    "ConditionWarning",
    "Evaluation",
    "Evolino",
    "LateralWeights",
    "RecursiveLeastSquares",
    "Ridge",
    "RidgePath",
    "Sequences",
    "anti_hebbian",
    "chaotic_network",
    "hebbian",
    "lateral_outputs",
    "least_squares",
    "oja",
    "pseudo_inverse",
    "storkey",
    "triangular_factor",
]
