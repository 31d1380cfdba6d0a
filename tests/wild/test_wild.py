"""VAEs of every style are recognised as what their authors mean, or asked about; nothing else is taken for one."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import impostors
import pytest
import schooling
import strangers
import torch
from judging import agrees, resolved
from pydantic import BaseModel
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.adapters.models import ModelSpec, wrap
from circuitprobe.errors import ModelError
from circuitprobe.probe import untouched


@pytest.mark.parametrize("kind", [*strangers.TABLES, *strangers.IMAGES], ids=lambda kind: kind.__name__)
def test_what_is_recognised_is_what_the_author_means(kind: type[nn.Module]) -> None:
    x = schooling.rows_for(kind)
    model = schooling.schooled(kind, x)
    training = [module.training for module in model.modules()]
    attributes = set(vars(model))
    # a table does not know of the channel axis that a model wants
    vae = resolved(model, x.flatten(1) if kind is strangers.ChannelAxis else x)
    agrees(vae, model, x)
    assert [module.training for module in model.modules()] == training
    assert set(vars(model)) == attributes
    assert not any(module._forward_hooks for module in model.modules())


def test_spatial_codes_have_their_channels_as_latents() -> None:
    x = schooling.images()
    vae = resolved(schooling.schooled(strangers.SpatialCode, x), x)
    assert vae.code_shape == (2, 2, 2)
    assert [latent.dims for latent in vae.latents] == [(0, 1, 2, 3), (4, 5, 6, 7)]


@pytest.mark.parametrize(
    "kind", [strangers.TwoSequentials, strangers.LeftBehind, strangers.Textbook], ids=lambda k: k.__name__
)
def test_torchscript_is_recognised_like_its_source(kind: type[nn.Module]) -> None:
    x = schooling.table()
    model = schooling.schooled(kind, x).eval()
    content = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, x[:2], check_trace=False), content)  # type: ignore[no-untyped-call]
    content.seek(0)
    agrees(resolved(torch.jit.load(content), x), model, x)  # type: ignore[no-untyped-call]


def test_an_exported_program_is_recognised_like_its_source() -> None:
    x = schooling.table()
    model = schooling.schooled(strangers.TwoSequentials, x).eval()
    program = torch.export.export(model, (x[:4],), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    agrees(resolved(program.module(check_guards=False), x), model, x)


def test_a_condition_is_carried_by_the_code() -> None:
    x = schooling.table()
    model = schooling.schooled_by_forward(strangers.Conditional(), x[:, :4], x[:, 4:])
    vae = replace(wrap(model), condition_width=2)
    with untouched(model):
        vae = vae.resolved(x)
        posterior, (mean, std) = vae.encode(x), model.truth(x)
        assert torch.allclose(posterior.mean, torch.cat([mean, x[:, 4:]], 1), atol=1e-5)
        assert posterior.log_var is not None
        assert torch.allclose((posterior.log_var[:, :3] / 2).exp(), std, rtol=1e-4)
        z = torch.randn(len(x), 5)
        assert torch.allclose(vae.decode(z), model.decoder(z), atol=1e-5)
        assert [latent.name for latent in vae.latents] == ["z0", "z1", "z2"]


def test_discrete_codes_are_indices() -> None:
    x = schooling.table()
    model = schooling.schooled_by_forward(strangers.Quantised(), x)
    vae = resolved(model, x)
    assert (vae.codes, vae.code_width) == (8, 4)
    assert {"enc.0", "enc.2"} < set(vae.outside_decoder)
    assert not {"codebook", "dec.0", "dec.2"} & set(vae.outside_decoder)
    with untouched(model):
        indices = vae.encode(x).mean
        assert torch.equal(indices, model.indices(x).reshape(-1, 4).float())
        other = torch.randint(0, 8, indices.shape).float()
        assert torch.allclose(vae.decode(other), model.author_decode(other), atol=1e-5)


@pytest.mark.parametrize("kind", impostors.IMPOSTORS, ids=lambda kind: kind.__name__)
def test_nothing_else_is_taken_for_a_vae(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    with pytest.raises(ModelError) as caught:
        resolved(kind(), schooling.table())
    assert caught.value.seen
    assert "spec" in caught.value.fix or "cp.wrap" in caught.value.fix


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (impostors.NoisyAutoencoder, "same for every row"),
        (impostors.DenoisingAutoencoder, "its input with noise added"),
        (impostors.Denoiser, "its input with noise added"),
        (impostors.Shuffling, "mixes or shuffles the rows"),
        (impostors.Reversing, "mixes or shuffles the rows"),
        (impostors.Standardising, "mixes or shuffles the rows"),
        (impostors.SkipConnection, "depends on the row itself"),
        (impostors.GumbelCode, "a code that is not Gaussian"),
        (impostors.FullCovariance, "entry by entry"),
        (impostors.Classifier, "draws no noise"),
        (impostors.MisleadingEncode, "samples around another mean"),
        (impostors.TwoOutputs, "several outputs"),
        (impostors.NamesOnly, "nothing says which is what"),
        (impostors.WantsCondition, "--condition COLUMN"),
        (impostors.Autoencoder, "without its variance"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_reason_is_the_right_one(kind: type[nn.Module], words: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(ModelError, match=words):
        resolved(kind(), schooling.table())


def test_naming_forward_confirms_what_was_asked_about() -> None:
    x = schooling.table()
    model = schooling.schooled_by_forward(impostors.NoisyAutoencoder(), x)
    vae = resolved(model, x, spec=ModelSpec(encode="forward", decode="forward"))
    with untouched(model):
        assert torch.allclose(vae.encode(x).mean, model.encoder(x), atol=1e-6)
        assert torch.allclose(
            vae.encode(x).log_var, torch.full((400, 3), 2 * float(torch.tensor(0.1).log())), atol=1e-4
        )


def test_halves_that_a_spec_names_are_read_as_the_model_samples_from_them() -> None:
    x = schooling.table()
    for kind in (strangers.SoftplusStd, strangers.RawSoftplus, strangers.Swapped):
        model = schooling.schooled(kind, x)
        vae = resolved(model, x, spec=ModelSpec(encode="encode", decode="decode"))
        assert vae.recognition.encode == "encode"
        agrees(vae, model, x)
    with pytest.raises(ModelError, match="nothing says which is what"):
        resolved(impostors.NamesOnly(), x, spec=ModelSpec(encode="encode", decode="decode"))


def test_the_evidence_says_what_was_tried() -> None:
    x = schooling.table()
    evidence = " ".join(resolved(schooling.schooled(strangers.SoftplusStd, x), x).recognition.evidence)
    assert "affine in the noise" in evidence
    assert "its spread as std" in evidence
    assert "three batches of other codes" in evidence


@pytest.mark.parametrize(
    "kind",
    [strangers.Swapped, strangers.SampleFirst, strangers.Logits, strangers.LeftBehind, strangers.TwoSequentials],
    ids=lambda kind: kind.__name__,
)
def test_the_spec_that_inspect_prints_says_the_same(kind: type[nn.Module], tmp_path: Path) -> None:
    x = schooling.rows_for(kind)
    model = schooling.schooled(kind, x)
    found = cp.inspect(model, x)
    (tmp_path / "vae.toml").write_text("\n".join(found.spec))
    spec = cp.ModelSpec.load(tmp_path / "vae.toml")
    again = cp.inspect(cp.wrap(model, spec=spec), x)
    assert again == found
    agrees(resolved(model, x, spec=spec), model, x)


def test_recognition_does_not_import_torchs_compiler() -> None:
    """Which takes seconds, and which torch imports by itself for every dispatch mode that does not forbid it."""
    code = (
        "import sys; sys.path.insert(0, 'tests/wild'); import schooling, strangers, circuitprobe as cp\n"
        "model = strangers.TwoSequentials()\n"
        "vae = cp.wrap(model).resolved(schooling.table(), real=False)\n"
        "vae.decode(vae.encode(schooling.table()).mean)\n"
        "print(vae.recognition.encode, 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["inference", "False"]


@pytest.mark.parametrize("backend", ["hooks", "nnsight"])
@pytest.mark.parametrize(
    "kind", [strangers.LeftBehind, strangers.NormalisesInside, strangers.ConvTrunk], ids=lambda k: k.__name__
)
def test_an_audit_of_forward_is_an_audit_of_the_authors_halves(kind: type[nn.Module], backend: str) -> None:
    """Every figure of all four levels; the author's halves are handed over as callables."""
    x = schooling.rows_for(kind)[:60]
    model = schooling.schooled(kind, schooling.rows_for(kind))
    options = {
        "resamples": 20,
        "permutations": 20,
        "twin": False,
        "patch_rows": 20,
        "patch_units": 4,
        "backend": backend,
    }

    def encode(m: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = m.truth(rows)
        return mean, 2 * std.log()

    told = cp.audit(cp.wrap(model, encode=encode, decode=lambda m, z: m.author_decode(z)), x, **options)
    found = cp.audit(cp.wrap(model), x, **options)
    assert found.model.encode == "forward"
    for part in ("latents", "inputs", "paths", "mediation", "reconstruction", "scores"):
        one, other = (figures(getattr(report, part)) for report in (found, told))
        assert one.keys() == other.keys()
        differing = {key: (one[key], other[key]) for key in one if not close(one[key], other[key])}
        assert not differing
    units = [{site.name: figures(site.effects) for site in report.activations.sites} for report in (found, told)]
    assert set(units[0]) == set(units[1])
    assert set(units[0]) & {"a", "c", "fc1", "fc3", "encode.1", "decode.1"}


def figures(part: object) -> dict[str, float]:
    """Every number in a part of a report by its place; p-values left out, which count resamples."""
    found: dict[str, float] = {}

    def walk(item: object, place: str) -> None:
        if isinstance(item, BaseModel):
            item = item.model_dump()
        if isinstance(item, dict):
            for key, value in item.items():
                walk(value, f"{place}.{key}")
        elif isinstance(item, (list, tuple)):
            for number, value in enumerate(item):
                walk(value, f"{place}[{number}]")
        elif dataclasses.is_dataclass(item):
            walk(dataclasses.asdict(item), place)  # type: ignore[arg-type]
        elif isinstance(item, float):
            found[place] = item

    walk(part, "")
    return {place: value for place, value in found.items() if not place.endswith((".p", ".p_corrected"))}


def close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-3 * abs(other) + 1e-4
