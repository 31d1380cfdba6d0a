"""Reads and writes activations, and leaves the model as it was."""

from circuitprobe.probe.hooks import capture, untouched
from circuitprobe.probe.readout import Readout
from circuitprobe.probe.sites import hidden_sites
from circuitprobe.probe.threads import threads_for

__all__ = ["Readout", "capture", "hidden_sites", "threads_for", "untouched"]
