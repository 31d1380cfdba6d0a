"""synthcity's TVAE: a tabular VAE on mixture-encoded columns, conditioned on one drawn category per row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from circuitprobe.adapters.families.adapter import Adapter, lineage, refuse_overridden, refused
from circuitprobe.adapters.families.mixture_columns import Mixture, MixtureColumn, MixtureTable, category_names
from circuitprobe.adapters.models.probed import ProbedVAE
from circuitprobe.types import Posterior, Recognition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuitprobe.errors import ModelError
    from circuitprobe.types import FloatArray

_PLUGIN = "synthcity.plugins.generic.plugin_tvae.TVAEPlugin"
_TABULAR = "synthcity.plugins.core.models.tabular_vae.TabularVAE"
DRAWN = (
    "each row is given a condition as training gives it: one category of one discrete column, drawn by the training table's "
    "frequencies (numpy.random.default_rng(0)), whatever the row holds"
)


def adapt(model: Any) -> ProbedVAE:  # noqa: ANN401 - a synthcity TVAEPlugin or TabularVAE, which are not imported here
    """The two halves of a TVAE; rows are the raw columns of its table.

    Raises:
        ModelError: it was not fitted, was given conditions of its user's own, or encodes columns in a way not known here.
    """
    tabular: Any = getattr(model, "model", None) if _PLUGIN in lineage(model) else model
    if _TABULAR not in lineage(tabular):
        raise refused(model, "has not been fitted", expected="a fitted TVAE", fix="plugin.fit(table)")
    refuse_overridden(tabular, "synthcity", ("encode", "decode", "forward", "fit"))
    if getattr(tabular, "predefined_conditional", False):
        raise _unknown(model, "was trained on conditions of its user's own (cond=), which the table does not bring")
    if getattr(tabular.encoder, "whitelist", ()):
        raise _unknown(model, "passes columns on as they are (whitelist)")
    ends, last = {kind for kind, _ in tabular.model.decoder_nonlin_out}, tabular.model.decoder.model.model[-1]
    if not ends <= {"softmax", "tanh"} or type(last).__name__ != "MultiActivationHead":
        raise _unknown(model, f"ends in {', '.join(sorted(ends))} by a {type(last).__name__}")
    if getattr(model, "compress_dataset", False):
        raise _unknown(model, "drops columns before training (compress_dataset)")
    labels = getattr(model, "_data_encoders", None) or {}
    table = MixtureTable(tuple(_column(model, info, labels.get(info.name)) for info in tabular.encoder.layout()))
    width, conditions = table.encoding.width, int(tabular.model.n_units_conditional)

    def encode(owner: Any, x: Tensor) -> Posterior:  # noqa: ANN401
        given = x[:, width:] if conditions else None
        return Posterior(*owner.model.encoder(table.to_model(x[:, :width]), given))

    def decode(owner: Any, z: Tensor) -> Tensor:  # noqa: ANN401
        # code and condition side by side, as the decoder joins them; its last layer is the activations, which draw
        for layer in list(owner.model.decoder.model.model)[:-1]:
            z = layer(z)
        return table.to_rows(z)

    words = (
        "numeric columns read as the mean of the decoded mixture, sum_k p_k (m_k + 4 s_k alpha)",
        "synthcity's softmax is a Gumbel softmax, which draws: categories read as the probabilities that it draws them with",
    )
    sampler = tabular.dataloader_sampler
    return ProbedVAE(
        model=tabular,
        run_encoder=encode,
        run_decoder=decode,
        recognition=Recognition(
            "model.encoder",
            "model.decoder before its activations -> tanh, softmax",
            "(mean, log_var)",
            (*words, DRAWN) if conditions else words,
        ),
        source=type(model).__name__,
        encoding=table.encoding,
        input_width=width + conditions,
        condition_width=conditions,
        output="probabilities",
        row_condition=(lambda rows: drawn_conditions(sampler, len(rows))) if conditions else None,
    )


def drawn_conditions(sampler: Any, rows: int) -> FloatArray:  # noqa: ANN401 - a synthcity ConditionalDatasetSampler
    """A condition per row by the sampler's own law, from a generator of its own.

    A discrete column uniformly, then one of its categories by its frequency in the training table.

    Returns:
        Shape (rows, categories of all discrete columns): one 1 per row.
    """
    rng = np.random.default_rng(0)
    shares, starts = np.asarray(sampler._discrete_feat_value_prob), np.asarray(sampler._categorical_feat_offset)  # noqa: SLF001
    column = rng.integers(len(shares), size=rows)
    category = (shares[column].cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    conditions = np.zeros((rows, int(sampler.conditional_dimension())))
    conditions[np.arange(rows), starts[column] + category] = 1.0
    return conditions


def _unknown(model: object, reason: str) -> ModelError:
    return refused(
        model,
        reason,
        expected="a TVAE as TVAEPlugin().fit(table) makes it",
        fix="cp.wrap(plugin.model, encode=lambda m, x: m.model.encoder(x, cond), decode=lambda m, z: m.model.decoder(z, cond))",
    )


def _column(model: object, info: Any, labels: Any) -> MixtureColumn:  # noqa: ANN401 - a synthcity FeatureInfo, a LabelEncoder
    transform = info.transform
    if info.feature_type == "discrete":
        if not hasattr(getattr(transform, "encoder", None), "categories_"):
            raise _unknown(model, f"encodes column {info.name!r} by a {type(transform).__name__}")
        codes: Sequence[Any] = transform.encoder.categories_[0].tolist()
        values = codes if labels is None else [labels.classes_[int(code)] for code in codes]
        return MixtureColumn(str(info.name), categories=category_names(values))
    if labels is not None or not hasattr(transform, "std_multiplier") or not getattr(transform, "clip_output", False):
        what = "numbers that stand for categories" if labels is not None else f"a {type(transform).__name__}"
        raise _unknown(model, f"encodes column {info.name!r} as {what}")
    mixture = Mixture.of(transform.model, low=float(transform.min_value), high=float(transform.max_value))
    return MixtureColumn(str(info.name), mixture)


ADAPTER = Adapter("synthcity's TVAE", (_PLUGIN, _TABULAR), adapt, "synthcity")
