"""Assigning whole sequences to classes, with calibrated probabilities."""
