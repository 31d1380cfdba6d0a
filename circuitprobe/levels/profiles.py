"""Resampled profiles of hidden units: too many to keep in memory where layers are wide."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray

SHARE = 8
BLOCK_BYTES = 64 * 2**20


class Profiles:
    """Mean unit changes of one layer for every latent, on all rows and on each resample.

    Resampled ones are in single precision, as they only bound an interval; they go to a temporary file where they would
    take more than an eighth of the memory.
    """

    def __init__(self, latents: int, resamples: int, units: int, memory: int) -> None:
        """Room for ``latents`` profiles of ``units`` units."""
        self.value: FloatArray = np.zeros((latents, units))
        self.resamples = resamples
        self._units = units
        self._memory = memory
        wide = 4 * latents * resamples * units
        self._kept = np.empty((latents, resamples, units), dtype=np.float32) if wide <= memory // SHARE else None
        # closed, and so removed, when this object goes
        self._file = None if self._kept is not None else tempfile.TemporaryFile()  # noqa: SIM115

    def put(self, latent: int, value: FloatArray, resampled: npt.NDArray[np.floating]) -> None:
        """Keep one latent's profile, shape (units,), and its resamples, shape (resamples, units)."""
        self.value[latent] = value
        if self._kept is not None:
            self._kept[latent] = resampled
        elif self._file is not None:
            self._file.seek(4 * latent * self.resamples * self._units)
            self._file.write(resampled.astype(np.float32).tobytes())

    @property
    def block(self) -> int:
        """How many resamples of all latents to read at once."""
        return max(1, min(BLOCK_BYTES, self._memory // SHARE) // max(1, 8 * self.value.size))

    def read(self, start: int, stop: int) -> npt.NDArray[np.float64]:
        """Some resamples, shape (resamples, latents, units)."""
        if self._kept is not None:
            return np.swapaxes(self._kept[:, start:stop], 0, 1).astype(np.float64)
        parts = [self._part(latent, start, stop) for latent in range(len(self.value))]
        return np.stack(parts, axis=1).astype(np.float64)

    def _part(self, latent: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        if self._file is None:
            raise RuntimeError("profiles are neither in memory nor in a file")
        self._file.seek(4 * (latent * self.resamples + start) * self._units)
        content = self._file.read(4 * (stop - start) * self._units)
        return np.frombuffer(content, dtype=np.float32).reshape(stop - start, self._units)
