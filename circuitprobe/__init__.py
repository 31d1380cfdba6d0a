"""circuitprobe: what a variational autoencoder has learned, and how sure that is."""

__version__ = "0.1.0"
