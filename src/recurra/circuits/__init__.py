"""Electrical circuits with memory: memristive networks, their equation of motion, and what they compute."""

from recurra.cells.circuits.circuit import Circuit
from recurra.cells.circuits.graphs import grid_circuit, random_circuit
from recurra.cells.circuits.memristive_reservoir import MemristiveReservoir
from recurra.circuits.capacitive import ResistorCapacitorNetwork
from recurra.circuits.maze import Maze, MazeAnswer, perfect_maze, solve_maze
from recurra.circuits.memristive import MemristiveNetwork
from recurra.circuits.nodal import NodalSolver
from recurra.circuits.simulate import Trajectory, simulate

__all__ = [
    "Circuit",
    "Maze",
    "MazeAnswer",
    "MemristiveNetwork",
    "MemristiveReservoir",
    "NodalSolver",
    "ResistorCapacitorNetwork",
    "Trajectory",
    "grid_circuit",
    "perfect_maze",
    "random_circuit",
    "simulate",
    "solve_maze",
]
