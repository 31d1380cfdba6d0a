"""CTGAN's TVAE (Xu et al. 2019): what it saves has no encoder."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from circuitprobe.adapters.families.adapter import Adapter, lineage, refused
from circuitprobe.adapters.families.mixture_columns import Mixture, MixtureColumn, MixtureTable, category_names
from circuitprobe.adapters.models.probed import ProbedVAE
from circuitprobe.errors import ModelError
from circuitprobe.types import Posterior, Recognition

_SDV = "sdv.single_table.ctgan.TVAESynthesizer"
GONE = (
    "TVAE.fit keeps the decoder alone, so nothing encodes rows; "
    "to audit rows, keep the encoder that fit trains as the attribute `encoder` of the synthesizer before saving it"
)


class TVAENetworks(nn.Module):
    """The networks of a synthesizer, which is no module itself; they are its own, not copies."""

    def __init__(self, synthesizer: Any) -> None:  # noqa: ANN401 - a ctgan.TVAE, which is not imported here
        super().__init__()
        self.decoder = synthesizer.decoder
        encoder = getattr(synthesizer, "encoder", None)
        if isinstance(encoder, nn.Module):
            self.encoder = encoder


def adapt(synthesizer: Any) -> ProbedVAE:  # noqa: ANN401
    """The decoder of a TVAE, with its encoder where somebody kept it; rows are the raw columns of its table.

    Raises:
        ModelError: it was never fitted, or is SDV's wrapper around one.
    """
    if _SDV in lineage(synthesizer):
        raise refused(
            synthesizer,
            "is SDV's wrapper, which changes columns before the TVAE inside sees them",
            expected="the TVAE inside, with rows as it sees them",
            fix="cp.audit(cp.wrap(synthesizer._model), synthesizer.preprocess(table))",
        )
    if not hasattr(synthesizer, "transformer") or not hasattr(synthesizer, "decoder"):
        raise refused(
            synthesizer,
            "has not been fitted",
            expected="a fitted synthesizer",
            fix="synthesizer.fit(table, discrete_columns)",
        )
    table = MixtureTable(tuple(_column(info) for info in synthesizer.transformer._column_transform_info_list))  # noqa: SLF001
    networks = TVAENetworks(synthesizer)
    whole = hasattr(networks, "encoder")

    def encode(owner: nn.Module, x: Tensor) -> Posterior:
        if not whole:
            raise ModelError(
                f"this model has no encoder: {GONE}",
                expected="a decoder-only audit",
                fix="circuitprobe audit MODEL DATA",
            )
        mean, _, log_var = owner.encoder(table.to_model(x))  # type: ignore[operator]
        return Posterior(mean, log_var)

    def decode(owner: nn.Module, z: Tensor) -> Tensor:
        return table.to_rows(owner.decoder(z)[0])  # type: ignore[operator]

    words = ("numeric columns read as the mean of the decoded mixture, sum_k p_k (m_k + 4 s_k alpha)",)
    return ProbedVAE(
        model=networks,
        run_encoder=encode,
        run_decoder=decode,
        recognition=Recognition("encoder" if whole else "none", "decoder -> tanh, softmax", "(mean, log_var)", words),
        source="TVAE",
        encoding=table.encoding,
        input_width=table.encoding.width,
        code_width=int(synthesizer.embedding_dim),
        prior_only="" if whole else GONE,
        output="probabilities",
    )


def _column(info: Any) -> MixtureColumn:  # noqa: ANN401 - a ctgan ColumnTransformInfo
    name, transform = str(info.column_name), info.transform
    if info.column_type == "discrete":
        return MixtureColumn(name, categories=category_names(transform.dummies))
    filler = getattr(transform.null_transformer, "_missing_value_replacement", None)
    mixture = Mixture.of(transform._bgm_transformer, transform.valid_component_indicator)  # noqa: SLF001
    return MixtureColumn(name, mixture, fill=float(filler) if isinstance(filler, int | float) else None)


ADAPTER = Adapter("CTGAN's TVAE", ("ctgan.synthesizers.tvae.TVAE", _SDV), adapt, "ctgan")
