"""Generators of the classical problems on which recurrent networks are compared."""
