"""All attacks: importing this fills the corpus."""

from hostile import allocations, archives, exported, no_files, pickles, texts, torchscripts, values

__all__ = ["allocations", "archives", "exported", "no_files", "pickles", "texts", "torchscripts", "values"]
