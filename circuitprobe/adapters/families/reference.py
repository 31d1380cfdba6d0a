"""circuitprobe's own reference models; what a checkpoint knows beyond them is added where checkpoints are loaded."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from circuitprobe.adapters.families.adapter import Adapter
from circuitprobe.adapters.models.probed import ProbedVAE
from circuitprobe.types import Recognition


def adapt(model: Any) -> ProbedVAE:  # noqa: ANN401 - they lie in a room above this one
    """A ``TableVAE`` or an ``ImageVAE``: mean and log-variance, output after its activations."""
    return ProbedVAE(
        model=model,
        run_encoder=_encode,
        run_decoder=_decode,
        recognition=Recognition("encode", "decode", "(mean, log_var)"),
        source=type(model).__name__,
        order=("mean", "log_var"),
        output="probabilities",
        input_width=model.config.width,
        row_shape=tuple(getattr(model.config, "shape", ())),
    )


def _encode(owner: Any, x: Tensor) -> Any:  # noqa: ANN401
    return owner.encode(x)


def _decode(owner: Any, z: Tensor) -> Any:  # noqa: ANN401
    return owner.decode(z)


ADAPTER = Adapter(
    "reference models",
    ("circuitprobe.reference_models.architectures.TableVAE", "circuitprobe.reference_models.architectures.ImageVAE"),
    adapt,
    "circuitprobe",
)
