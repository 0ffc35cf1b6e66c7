"""Electrical circuits as cells, and the graphs that they stand on."""
