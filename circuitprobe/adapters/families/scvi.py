"""scvi-tools' SCVI (Lopez et al. 2018): counts in, expected counts out, batch and library size given to both halves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.families.adapter import Adapter, lineage, refuse_overridden, refused
from circuitprobe.adapters.models.files import with_trust
from circuitprobe.adapters.models.probed import ProbedVAE
from circuitprobe.errors import DataError, ModelError
from circuitprobe.types import ColumnEncoding, FeatureKind, Posterior, Recognition, Scaling, TableEncoding

if TYPE_CHECKING:
    from circuitprobe.adapters.models.contents import LoadOptions
    from circuitprobe.types import FloatArray

_MODEL, _MODULE = "scvi.model._scvi.SCVI", "scvi.module._vae.VAE"
BATCH = "batch"
CHOICES = (
    "rows are raw counts, a column per gene; the encoder takes log(1 + counts)",
    "rows come back as expected counts (the likelihood's mean) at the row's own batch and library size, which are conditions",
)


def adapt(model: Any) -> ProbedVAE:  # noqa: ANN401 - an scvi SCVI or its module, which are not imported here
    """The two halves of an SCVI model.

    A row is a count per gene, then, where there are several batches, the batch as a one-hot block, then the logarithm of the
    library size, which is computed from the counts.

    Raises:
        ModelError: the model has parts that are not known here: a latent library size, further covariates, labels.
    """
    module = model.module if _MODEL in lineage(model) else model
    if _MODULE not in lineage(module):
        raise refused(
            module, "is no scvi VAE module", expected="SCVI's own module", fix="cp.wrap(model, encode=..., decode=...)"
        )
    refuse_overridden(module, "scvi", ("generative", "_regular_inference", "inference"))
    genes, batches = int(module.n_input), int(module.n_batch)
    _refuse_parts(model, module)
    names, blocks = _names(model, genes, batches)
    given = batches if batches > 1 else 0

    def batch_of(block: Tensor) -> Tensor:
        return (
            block.argmax(1, keepdim=True)
            if given
            else torch.zeros(len(block), 1, dtype=torch.long, device=block.device)
        )

    def encode(owner: Any, x: Tensor) -> Posterior:  # noqa: ANN401
        counts = x[:, :genes].log1p() if owner.log_variational else x[:, :genes]
        # the parts one by one: as a whole the encoder draws from its posterior on the way
        half = owner.z_encoder
        hidden = half.encoder(counts, batch_of(x[:, genes : genes + given]))
        variance = half.var_activation(half.var_encoder(hidden)) + half.var_eps
        return Posterior(half.mean_encoder(hidden), variance.log())

    def decode(owner: Any, z: Tensor) -> Tensor:  # noqa: ANN401
        latents = owner.z_encoder.z_transformation(z[:, : owner.n_latent])
        told = owner.generative(latents, z[:, -1:], batch_of(z[:, owner.n_latent : owner.n_latent + given]))
        mean: Tensor = told["px"].mean
        return mean

    encoding = TableEncoding((*names, *blocks), Scaling.MODEL, "scvi's genes in order")
    return ProbedVAE(
        model=module,
        run_encoder=encode,
        run_decoder=decode,
        recognition=Recognition("z_encoder", "generative", "(mean, var)", CHOICES),
        source=type(model).__name__,
        encoding=encoding,
        input_width=encoding.width + 1,
        condition_width=given + 1,
        row_condition=lambda rows: _log_library(rows[:, :genes]),
    )


def _log_library(counts: FloatArray) -> FloatArray:
    """Logarithm of the sum of a row's counts, (rows, genes) -> (rows, 1).

    Raises:
        DataError: a row has no count, or a negative one.
    """
    total = counts.sum(1, keepdims=True)
    if (counts < 0).any() or (total <= 0).any():
        raise DataError(
            "the table has rows with negative counts, or without any count",
            expected=f"raw counts of {counts.shape[1]} genes, at least one per row",
            fix="leave such rows out; counts as they were registered with scvi, not normalised ones",
        )
    return np.asarray(np.log(total))


def _refuse_parts(model: Any, module: Any) -> None:  # noqa: ANN401
    """Refuse what rows of counts, a batch and a library size do not determine.

    Raises:
        ModelError: naming the part.
    """
    layers = module.decoder.px_decoder.n_cat_list
    found = {
        "a library size that is a latent of its own (use_observed_lib_size=False)": not module.use_observed_lib_size,
        "size factors of its own (size_factor_key)": module.use_size_factor_key,
        "dispersion per label": module.dispersion == "gene-label",
        "batch embeddings in its encoder": module.encode_covariates and module.batch_representation == "embedding",
        "further categorical covariates": len(layers) > (0 if module.batch_representation == "embedding" else 1),
        "continuous covariates": _continuous(module) > 0,
        "minified data": getattr(module, "minified_data_type", None) is not None,
    }
    for part, there in found.items():
        if there:
            raise refused(
                model,
                f"has {part}, which rows of counts do not bring",
                expected="counts, a batch and the observed library size",
                fix="cp.wrap(model.module, encode=lambda m, x: (mean, log_var), decode=lambda m, z: ...)",
            )


def _continuous(module: Any) -> int:  # noqa: ANN401
    """How many continuous covariates the decoder takes beside latents and a batch embedding."""
    embedded = module.get_embedding(BATCH).embedding_dim if module.batch_representation == "embedding" else 0
    first = next(layer for layer in module.decoder.px_decoder.fc_layers[0] if isinstance(layer, torch.nn.Linear))
    # FCLayers keeps 0 for a covariate of one category, which takes no columns
    given = sum(int(count) for count in module.decoder.px_decoder.n_cat_list if count > 1)
    return int(first.in_features) - int(module.n_latent) - int(embedded) - given


def _names(model: Any, genes: int, batches: int) -> tuple[list[ColumnEncoding], list[ColumnEncoding]]:  # noqa: ANN401
    """The columns of a row: genes by their names, and the batch; of a module alone they have none."""
    names, key, values = [f"gene{number}" for number in range(genes)], BATCH, [str(number) for number in range(batches)]
    if _MODEL in lineage(model):
        manager = model.adata_manager
        names = [str(name) for name in model.adata.var_names]
        state = manager.get_state_registry(BATCH)
        key = str(state.original_key)
        values = [str(value) for value in state.categorical_mapping]
    columns = [ColumnEncoding(name, FeatureKind.NUMERIC, fill=0.0) for name in names]
    return columns, [ColumnEncoding(key, FeatureKind.CATEGORICAL, tuple(values))] if batches > 1 else []


def holds(path: Path) -> bool:
    """Whether a folder is one that ``model.save(folder, save_anndata=True)`` wrote."""
    return (path / "model.pt").is_file() and (path / "adata.h5ad").is_file()


def load_folder(path: Path, options: LoadOptions) -> Any:  # noqa: ANN401 - an SCVI model
    """The model of a folder with its data.

    Raises:
        ModelError: the folder is not trusted; its model file is a pickle.
    """
    if not options.trust:
        raise ModelError(
            f"{path} is a model of scvi-tools, whose model.pt is a pickle: loading it runs code; nothing in it was run",
            expected="a folder whose origin is known",
            fix=with_trust(path),
        )
    import scvi

    return scvi.model.SCVI.load(str(path), accelerator="cpu")


ADAPTER = Adapter("scvi", (_MODEL, _MODULE), adapt, "scvi-tools", holds, load_folder)
