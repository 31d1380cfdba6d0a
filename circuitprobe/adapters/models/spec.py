"""The spec file: what a model's parts are, for models that names do not explain."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from circuitprobe.adapters.models.posterior import PARTS, PosteriorPart
from circuitprobe.adapters.models.probed import OutputKind
from circuitprobe.adapters.toml_file import load_toml
from circuitprobe.errors import ModelError

_KEYS = ("encode", "decode", "posterior", "output", "input_width")
_OUTPUTS = ("auto", "probabilities", "logits")


@dataclass(frozen=True)
class ModelSpec:
    """The content of ``vae.toml``; every entry is optional.

    ``encode = "forward"`` and ``decode = "forward"``: what the model's own forward samples is the code, and what it makes of
    it the reconstruction; for models that are recognised but for one doubt.

    Example::

        encode = "q_network"                 # a module or method, dotted path inside the model
        decode = "p_network.net"
        posterior = ["mean", "std"]          # what encode returns, in order: mean, log_var, std, var, log_std,
                                             # softplus, sample, ignore
        output = "logits"                    # probabilities | logits | auto: the decoder's categorical blocks
        input_width = 42                     # number of model dimensions
    """

    encode: str | None = None
    decode: str | None = None
    posterior: tuple[PosteriorPart, ...] | None = None
    output: OutputKind = "auto"
    input_width: int | None = None

    @classmethod
    def load(cls, path: str | Path) -> ModelSpec:
        """Read a spec file.

        Raises:
            ModelError: not there, not TOML, unknown keys or values of the wrong type.
        """
        return cls._checked(Path(path).name, load_toml(path, what="spec file", error=ModelError))

    @classmethod
    def _checked(cls, name: str, content: dict[str, Any]) -> ModelSpec:
        for key in content:
            if key not in _KEYS:
                close = difflib.get_close_matches(key, _KEYS, 1)
                hint = f"did you mean {close[0]}?" if close else f"remove it from {name}"
                raise ModelError(f"{name} has the unknown key {key!r}", expected=f"one of {', '.join(_KEYS)}", fix=hint)
        for key in ("encode", "decode"):
            _expect(name, key, content.get(key), isinstance(content.get(key, ""), str), 'a name such as "encoder"')
        width = content.get("input_width")
        _expect(
            name, "input_width", width, width is None or (type(width) is int and width > 0), "a number of dimensions"
        )
        output = content.get("output", "auto")
        _expect(name, "output", output, output in _OUTPUTS, f"one of {', '.join(_OUTPUTS)}")
        order = content.get("posterior")
        fits = order is None or (
            isinstance(order, list)
            and all(isinstance(part, str) and part in PARTS for part in order)
            and order.count("mean") == 1
        )
        _expect(name, "posterior", order, fits, f"a list with one mean out of {', '.join(PARTS)}")
        return cls(
            content.get("encode"),
            content.get("decode"),
            None if order is None else cast("tuple[PosteriorPart, ...]", tuple(order)),
            cast("OutputKind", output),
            width,
        )


def _expect(name: str, key: str, value: object, fits: bool, expected: str) -> None:
    if not fits:
        raise ModelError(f"{name} says {key} = {value!r}", expected=expected, fix=f"correct {key} in {name}")
