"""Files of the right form whose numbers cannot be: audits, checkpoints and settings of libraries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from hostile.corpus import Harmless, Make, register
from hostile.pickle_tools import saved
from hostile.pickles import diffusers, pythae
from hostile.texts import ESCAPES

Change = Callable[[dict[str, Any]], object]


def audit(change: Change) -> Make:
    """The good audit after a change."""

    def make(path: Path, good: Harmless) -> None:
        value = json.loads(good.audit.read_text())
        change(value)
        path.write_text(json.dumps(value))

    return make


def baseline(change: Change) -> Make:
    """The good baseline after a change, with its details."""

    def make(path: Path, good: Harmless) -> None:
        value = json.loads(good.baseline.read_text())
        change(value)
        path.write_text(json.dumps(value))
        path.with_suffix(".details").write_bytes(good.baseline.with_suffix(".details").read_bytes())

    return make


def estimates(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict) and {"value", "low", "high", "n"} <= value.keys():
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from estimates(inner)


def first(value: Any) -> dict[str, Any]:
    return next(each for each in estimates(value) if each["value"] is not None and each["low"] is not None)


FIGURES: dict[str, Change] = {
    "value above its interval": lambda v: first(v).update(value=first(v)["high"] + 1),
    "value below its interval": lambda v: first(v).update(value=first(v)["low"] - 1),
    "interval turned round": lambda v: first(v).update(low=1e6, high=-1e6),
    "one end only": lambda v: first(v).update(high=None),
    "rows below zero": lambda v: first(v).update(n=-5),
    "rows beyond all": lambda v: first(v).update(n=10**30),
    "rows that are a share": lambda v: first(v).update(n=0.5),
    "nan": lambda v: first(v).update(value=float("nan")),
    "infinite": lambda v: first(v).update(high=float("inf")),
    "1e400 as text": lambda v: first(v).update(value="1e400"),
    "a truth value": lambda v: first(v).update(value=True),
    "a list": lambda v: first(v).update(value=[0.1]),
}
for name, change in FIGURES.items():
    register(f"audit's figure: {name}", audit(change), "a.json", "audit")
    register(f"baseline's figure: {name}", baseline(change), "b.json", "baseline")


def at(*path: Any, value: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        place: Any = content
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value

    return change


def renamed(content: dict[str, Any]) -> None:
    content["latents"][0]["name"] = content["latents"][1]["name"]


AUDITS: dict[str, Change] = {
    "no latents": at("latents", value=[]),
    "a latent twice": renamed,
    "rows audited below zero": at("data", "rows_audited", value=-1),
    "more rows audited than there are": at("data", "rows_audited", value=10**9),
    "resamples of nothing": at("resamples", value={}),
    "resamples of another number": at("resamples", "count", value=199),
    "resamples by the billion": at("resamples", "count", value=10**9),
    "resamples below zero": at("resamples", "count", value=-1),
    "resamples of text": at("resamples", value="x"),
    "source of control characters": lambda v: (at("model", "source", value=ESCAPES)(v), at("latents", value=5)(v)),
    "another version": at("schema_version", value=ESCAPES),
    "a version of long ago": at("schema_version", value="0.0"),
    "a version of the future": at("schema_version", value="999.0"),
}
for name, change in AUDITS.items():
    register(f"audit: {name}", audit(change), "a.json", "audit")


def resamples(change: Callable[[str], str]) -> Change:
    def changed(content: dict[str, Any]) -> None:
        for packed in content["resamples"]["figures"].values():
            packed["codes"] = change(packed["codes"])

    return changed


for name, swap in {
    "cut off": lambda text: text[: len(text) // 2],
    "not base 64": lambda text: "\x1b[31m" + text,
    "ten times": lambda text: text * 10,
    "nothing": lambda text: "",
}.items():
    register(f"audit's resamples: {name}", audit(resamples(swap)), "a.json", "audit")


def checkpoint(change: Change) -> Make:
    """The good checkpoint after a change."""

    def make(path: Path, good: Harmless) -> None:
        content = torch.load(good.model, weights_only=True)
        change(content)
        path.write_bytes(saved(content))

    return make


def every_weight(number: float) -> Change:
    return lambda content: [
        weight.fill_(number) for weight in content["state_dict"].values() if weight.is_floating_point()
    ]


def some_weight(number: float) -> Change:
    return lambda content: next(iter(content["state_dict"].values())).view(-1)[:1].fill_(number)


def first_tensor(made: Callable[[torch.Tensor], Any]) -> Change:
    def change(content: dict[str, Any]) -> None:
        name = next(iter(content["state_dict"]))
        content["state_dict"][name] = made(content["state_dict"][name])

    return change


def without(entry: str) -> Change:
    return lambda content: content.pop(entry)


def column_with(**changes: Any) -> Change:
    return lambda content: content["data"]["columns"][0].update(changes)


ARCHITECTURE = "architecture"
CHECKPOINTS: dict[str, Change] = {
    "hidden 10^9": at(ARCHITECTURE, "hidden", value=[10**9]),
    "hidden 10^9 twice": at(ARCHITECTURE, "hidden", value=[10**9, 10**9]),
    "hidden 10^30": at(ARCHITECTURE, "hidden", value=[10**30]),
    "hidden 20,000 twice": at(ARCHITECTURE, "hidden", value=[20_000, 20_000]),
    "10^5 layers": at(ARCHITECTURE, "hidden", value=[8] * 10**5),
    "latents 10^9": at(ARCHITECTURE, "latents", value=10**9),
    "latents 10^6": at(ARCHITECTURE, "latents", value=10**6),
    "a block 10^9 wide": at(ARCHITECTURE, "blocks", value=[["categorical", 10**9]]),
    "10^6 blocks": at(ARCHITECTURE, "blocks", value=[["numeric", 1]] * 10**5),
    "images of 10^5 x 10^5": at(ARCHITECTURE, "shape", value=[3, 16 * 10**4, 16 * 10**4]),
    "images of 10^9 channels": at(ARCHITECTURE, "shape", value=[10**9, 16, 16]),
    "version of control characters": at("version", value=ESCAPES),
    "version 999": at("version", value=999),
    "version of many digits": at("version", value=10**5000),
    "version below one": at("version", value=-1),
    "no weights": at("state_dict", value={}),
    "weights of another name": lambda c: c["state_dict"].update({ESCAPES: torch.ones(1)}),
    "columns by the thousand": lambda c: c["data"].update(columns=c["data"]["columns"] * 20_000),
    "columns that are text": at("data", "columns", value="x" * 10**6),
    "source of control characters": lambda c: (at("data", "source", value=ESCAPES)(c), without("training")(c)),
    "every weight 1e38": every_weight(1e38),
    "every weight nan": every_weight(float("nan")),
    "every weight infinite": every_weight(float("inf")),
    "one weight nan": some_weight(float("nan")),
    "one weight infinite below": some_weight(float("-inf")),
    "a weight of stride 0": first_tensor(lambda t: torch.zeros(1).expand(10**6, 10**6)),
    "a weight on meta": first_tensor(lambda t: torch.empty(t.shape, device="meta")),
    "a weight that is sparse": first_tensor(lambda t: t.reshape(t.shape).to_sparse()),
    "a weight that is complex": first_tensor(lambda t: t.to(torch.complex64)),
    "a weight of float64": first_tensor(lambda t: t.double()),
    "a weight of bits": first_tensor(lambda t: t.to(torch.float8_e5m2)),
    "a weight that is text": first_tensor(lambda t: ESCAPES),
    "a column's name of control characters": column_with(name=ESCAPES),
    "a column's name of 4 MB": column_with(name="x" * 4 * 10**6),
    "a column's name that is a number": column_with(name=5),
    "scale of zero": column_with(scale=0.0),
    "scale below zero": column_with(scale=-1.0),
    "scale that is nan": column_with(scale=float("nan")),
    "scale of 1e-320": column_with(scale=1e-320),
    "scale of 1e308": column_with(scale=1e308),
    "center that is infinite": column_with(center=float("inf")),
    "categories by the thousand": column_with(categories=["x"] * 10**5),
    **{f"no {entry}": without(entry) for entry in ("version", ARCHITECTURE, "data", "training", "state_dict")},
    **{f"{entry} is a list": at(entry, value=[]) for entry in (ARCHITECTURE, "data", "training", "state_dict")},
}
for name, change in CHECKPOINTS.items():
    register(f"checkpoint: {name}", checkpoint(change), "m.pt", "model")


def settings(make: Make, file: str, **changes: Any) -> Make:
    """A library's folder with other settings."""

    def made(path: Path, good: Harmless) -> None:
        make(path, good)
        value = json.loads((path / file).read_text()) | changes
        (path / file).write_text(json.dumps(value))

    return made


EMPTY = saved({"model_state_dict": {"encoder.layers.0.0.weight": torch.ones(2, 2)}})
PYTHAE: dict[str, dict[str, Any]] = {
    "10^9 columns": {"input_dim": [10**9]},
    "10^6 columns": {"input_dim": [10**6]},
    "10^9 latents": {"latent_dim": 10**9},
    "columns below zero": {"input_dim": [-5]},
    "a name of code": {"name": "__import__('os')Config"},
    "a name of control characters": {"name": f"{ESCAPES}Config"},
    "a name of another module": {"name": "os.systemConfig"},
    "10^9 components": {"name": "VAMPConfig", "number_components": 10**9},
    "10^9 codes": {"name": "VQVAEConfig", "num_embeddings": 10**9},
    "10^6 flows": {"name": "VAE_LinNF_Config", "flows": ["Planar"] * 10**5},
    "10^5 blocks of flows": {"name": "VAE_IAF_Config", "n_made_blocks": 10**5},
}
for name, changes in PYTHAE.items():
    register(f"pythae: {name}", settings(pythae(model_pt=EMPTY), "model_config.json", **changes), "saved", "model")

DIFFUSERS: dict[str, dict[str, Any]] = {
    "10^9 channels": {"block_out_channels": [10**9]},
    "10^5 channels": {"block_out_channels": [10**5], "norm_num_groups": 4},
    "10^9 latents": {"latent_channels": 10**9},
    "10^5 layers": {"layers_per_block": 10**5},
    "10^4 blocks": {
        "block_out_channels": [8] * 10**4,
        "down_block_types": ["DownEncoderBlock2D"] * 10**4,
        "up_block_types": ["UpDecoderBlock2D"] * 10**4,
    },
    "10^9 codes": {"_class_name": "VQModel", "num_vq_embeddings": 10**9},
    "a class of control characters": {"_class_name": ESCAPES},
    "a class that is no model": {"_class_name": "DDPMPipeline"},
    "a class by its path": {"_class_name": "pipelines.StableDiffusionPipeline"},
    "code from the hub": {"_class_name": "AutoencoderKL", "auto_map": {"AutoModel": "evil.Evil"}},
    "an activation that is code": {"act_fn": "__import__"},
}
TINY = saved({"encoder.conv_in.weight": torch.ones(1)})
for name, changes in DIFFUSERS.items():
    made = settings(diffusers("diffusion_pytorch_model.bin", TINY), "config.json", **changes)
    register(f"diffusers: {name}", made, "saved", "model")
