"""pythae's folders: what ``model.save`` writes, and the training folders around it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitprobe.adapters.models.files import with_trust
from circuitprobe.errors import ModelError

if TYPE_CHECKING:
    from circuitprobe.adapters.models.contents import LoadOptions

_CONFIG = "model_config.json"
_WEIGHTS = "model.pt"
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
    from pythae.models import AutoModel

    return AutoModel.load_from_folder(str(inside))


def _is_model(path: Path) -> bool:
    config = path / _CONFIG
    if not config.is_file():
        return False
    try:
        told = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and str(told.get("name", "")).endswith("Config") and "latent_dim" in told


def _models_within(path: Path) -> list[Path]:
    """The models of a training folder, or of the newest of several trainings, the final one last."""
    found = [each for each in path.iterdir() if each.is_dir() and _is_model(each)] if path.is_dir() else []
    known = [each for each in found if each.name == "final_model" or re.fullmatch(r"checkpoint_epoch_\d+", each.name)]
    return sorted(known, key=lambda each: (each.name == "final_model", _epoch(each.name)))


def _epoch(name: str) -> int:
    digits = re.search(r"\d+$", name)
    return int(digits[0]) if digits else 0
