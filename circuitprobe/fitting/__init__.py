"""Bringing a table and a model together."""

from circuitprobe.fitting.rows import DataOptions, Fitted, Tried, fit

__all__ = ["DataOptions", "Fitted", "Tried", "fit"]
