"""Instruments: what a trained network does inside. One file an instrument."""
