"""Finite automata: in networks, out of networks, and by themselves."""
