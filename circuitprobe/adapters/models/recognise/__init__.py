"""Recognition of a VAE by what it does with noise, not by what its parts are called."""

from circuitprobe.adapters.models.recognise.recognise import Suggested, recognise, with_order

__all__ = ["Suggested", "recognise", "with_order"]
