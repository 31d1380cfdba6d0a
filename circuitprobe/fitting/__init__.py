"""Bringing rows and a model together."""

from circuitprobe.fitting.options import DataOptions, Fitted, Tried, names_of
from circuitprobe.fitting.rows import fit

__all__ = ["DataOptions", "Fitted", "Tried", "fit", "names_of"]
