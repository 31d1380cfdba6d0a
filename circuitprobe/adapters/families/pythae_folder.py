"""pythae's folders: what ``model.save`` writes, and the training folders around it."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitprobe.adapters.models.files import with_trust
from circuitprobe.adapters.models.folders import check_weights_file, settings
from circuitprobe.errors import ModelError

if TYPE_CHECKING:
    from circuitprobe.adapters.models.contents import LoadOptions

_CONFIG = "model_config.json"
_WEIGHTS = "model.pt"
# units of its own encoders and decoders; numbers that one more of something repeated has at least; what any setting may be
_UNITS, _REPEATED, _SMALL, _MOST_SIDES = 512, 100, 10_000, 8
# the parts of a model that are pickled where they are not the library's own
_PICKLED = ("encoder", "decoder", "discriminator", "metric")


def holds(path: Path) -> bool:
    """Whether a folder is one of pythae's: a model's, or a training's with models in it."""
    return _is_model(path) or bool(_models_within(path))


def load_folder(path: Path, options: LoadOptions) -> Any:  # noqa: ANN401 - a pythae model
    """The model of a folder; of a training's folder the final one, else that of its last epoch.

    Args:
        path: a folder for which ``holds`` is true.
        options: whether pickles may be loaded.

    Raises:
        ModelError: it has pickled parts and is not trusted, or a file is missing.
    """
    inside = path if _is_model(path) else _models_within(path)[-1]
    pickled = [f"{part}.pkl" for part in _PICKLED if (inside / f"{part}.pkl").exists()]
    if pickled and not options.trust:
        raise ModelError(
            f"{inside} keeps {', '.join(pickled)} as pickles: loading them runs code; nothing in them was run",
            expected="weights and configuration only, as of a model with pythae's own encoder and decoder",
            fix=with_trust(path),
        )
    if not (inside / _WEIGHTS).exists():
        raise ModelError(
            f"{inside} has {_CONFIG} but no {_WEIGHTS}",
            expected="both, as model.save writes them",
            fix="copy the whole folder, or save the model again: model.save(folder)",
        )
    if not options.trust:
        _check_sizes(inside)
    from pythae.models import AutoModel

    return AutoModel.load_from_folder(str(inside))


def _check_sizes(inside: Path) -> None:
    """Make sure that the network which the settings describe is no larger than the weights: pythae builds it before it reads them.

    Its own encoders and decoders, the only ones here, have a layer of 512 units at both ends.

    Raises:
        ModelError: a size in the settings is more than all weights together.
    """
    weights = check_weights_file(inside / _WEIGHTS)
    told = settings(inside / _CONFIG)
    sides = told.get("input_dim")
    rows = math.prod(side for side in sides if isinstance(side, int)) if isinstance(sides, list) else 0
    sizes = {"input_dim": rows * _UNITS}
    sizes |= {
        key: value * (_REPEATED if key.startswith("n_") else 1) for key, value in told.items() if isinstance(value, int)
    }
    sizes |= {
        key: len(value) * _REPEATED for key, value in told.items() if isinstance(value, list) and key != "input_dim"
    }
    for key, size in sizes.items():
        if size > max(weights, _SMALL) or (isinstance(sides, list) and len(sides) > _MOST_SIDES):
            raise ModelError(
                f"{inside / _CONFIG} says {key} = {str(told[key])[:80]}, and {_WEIGHTS} holds {weights:,} numbers",
                expected="the settings that the weights were saved with",
                fix="copy the whole folder, or save the model again: model.save(folder)",
            )


def _is_model(path: Path) -> bool:
    told = settings(path / _CONFIG)
    return str(told.get("name", "")).endswith("Config") and "latent_dim" in told


def _models_within(path: Path) -> list[Path]:
    """The models of a training folder, or of the newest of several trainings, the final one last."""
    found = [each for each in path.iterdir() if each.is_dir() and _is_model(each)] if path.is_dir() else []
    known = [each for each in found if each.name == "final_model" or re.fullmatch(r"checkpoint_epoch_\d+", each.name)]
    return sorted(known, key=lambda each: (each.name == "final_model", _epoch(each.name)))


def _epoch(name: str) -> int:
    digits = re.search(r"\d+$", name)
    return int(digits[0]) if digits else 0
