"""The report's entries on the model and the rows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from circuitprobe.adapters.models import class_name
from circuitprobe.probe.readout import feature_std
from circuitprobe.report.model import (
    ColumnReport,
    DataReport,
    EncodingTried,
    FeatureReport,
    ImageReport,
    LeftOutReport,
    MissingReport,
    ModelReport,
    Role,
)
from circuitprobe.stats.bootstrap import CONFIDENCE
from circuitprobe.types import FeatureKind, ImageEncoding

if TYPE_CHECKING:
    from circuitprobe.adapters.models import ProbedVAE
    from circuitprobe.fitting.options import Fitted
    from circuitprobe.levels.setting import LevelSetting
    from circuitprobe.stats.bootstrap import Resampler
    from circuitprobe.types import AuditData, Column, FloatArray, TableEncoding


def model_report(vae: ProbedVAE, setting: LevelSetting) -> ModelReport:
    """What was audited and what was recognised in it."""
    return ModelReport(
        source=vae.source,
        class_name=class_name(vae.model),
        latents=len(setting.latent_names),
        code_columns=vae.code_columns,
        code_shape=vae.code_shape,
        codes=vae.codes,
        condition_width=vae.condition_width,
        prior_only=vae.prior_only or None,
        input_width=setting.data.x.shape[1],
        parameters=sum(parameter.numel() for parameter in vae.model.parameters()),
        dtype=str(vae.dtype).removeprefix("torch."),
        weights_sha256=weights_digest(vae.model),
        encode=vae.recognition.encode,
        decode=vae.recognition.decode,
        posterior=vae.recognition.posterior,
        evidence=vae.recognition.evidence,
    )


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of the state_dict, in sorted order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, Tensor):
            content = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {content.dtype} {tuple(content.shape)}\n".encode())
            digest.update(content.reshape(-1).view(dtype=torch.uint8).numpy().tobytes() if content.numel() else b"")
    return digest.hexdigest()


def data_report(fitted: Fitted, resampler: Resampler | None = None) -> DataReport:
    """The rows, their features and groups, and how they became the model's input.

    Args:
        fitted: model and rows.
        resampler: of the rows, for the intervals of standard deviations; without it they are null.
    """
    data = fitted.data
    group_of = {name: group.name for group in data.groups for name in group.features}
    recipe = {column.name: column for column in data.encoding.columns} if data.encoding else {}
    spread = feature_std(data.x, data.features)
    low, high = (None, None) if resampler is None else _std_interval(data, resampler)
    features = tuple(
        FeatureReport(
            name=feature.name,
            kind=feature.kind,
            group=group_of[feature.name],
            dims=feature.dims,
            link=feature.decode.link,
            std=float(spread[number]) if feature.kind is FeatureKind.NUMERIC else None,
            std_low=float(low[number]) if feature.kind is FeatureKind.NUMERIC and low is not None else None,
            std_high=float(high[number]) if feature.kind is FeatureKind.NUMERIC and high is not None else None,
            center=recipe[feature.name].center
            if feature.name in recipe and feature.kind is not FeatureKind.CATEGORICAL
            else None,
            scale=recipe[feature.name].scale
            if feature.name in recipe and feature.kind is not FeatureKind.CATEGORICAL
            else None,
            categories=feature.categories,
        )
        for number, feature in enumerate(data.features)
    )
    return DataReport(
        source=data.source,
        rows_total=data.total,
        rows_audited=len(data.x),
        rows_sha256=hashlib.sha256(np.ascontiguousarray(data.x).tobytes()).hexdigest(),
        sample_sha256=data.sample or None,
        columns=tuple(_column(column, {f.name for f in data.features}, data) for column in data.columns),
        features=features,
        groups={group.name: group.features for group in data.groups},
        groups_from=data.groups_from,
        scaling=data.encoding.scaling if data.encoding else None,
        encodings_tried=tuple(
            EncodingTried(scaling=t.encoding.scaling, layout=_layout(t.encoding), mse=t.mse, chosen=t.chosen)
            for t in fitted.tried
        ),
        left_out=tuple(LeftOutReport(name=entry.name, reason=entry.reason) for entry in data.left_out),
        missing=tuple(
            MissingReport(name=entry.name, count=entry.count, treatment=entry.treatment) for entry in data.missing
        ),
        target=data.target_name,
        image=None if data.image is None else _image(data.image),
        condition=data.condition,
        renamed=dict(data.renamed),
    )


def _std_interval(data: AuditData, resampler: Resampler) -> tuple[FloatArray, FloatArray]:
    """Ends of the 95 % intervals of s_f, shape (features,) each; of features that are not numeric without meaning."""
    values = data.x[:, [feature.dims[0] for feature in data.features]]
    centred = values - values.mean(axis=0)
    variances = resampler.means(centred**2) - resampler.means(centred) ** 2
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(np.sqrt(np.maximum(variances, 0.0)), [tail, 1.0 - tail], axis=0)
    std = values.std(axis=0)
    return np.minimum(low, std), np.maximum(high, std)


def _layout(encoding: TableEncoding | ImageEncoding) -> str:
    return encoding.described if isinstance(encoding, ImageEncoding) else encoding.layout


def _image(image: ImageEncoding) -> ImageReport:
    return ImageReport(
        stored=image.stored,
        layout=image.layout,
        shape=image.shape,
        range=image.scaling,
        output=image.output,
        grid=image.grid,
    )


def _column(column: Column, features: set[str], data: AuditData) -> ColumnReport:
    role: Role = "left out"
    if column.name in features:
        role = "feature"
    elif column.name == data.target_name:
        role = "target"
    elif column.name in data.condition:
        role = "condition"
    return ColumnReport(
        name=column.name,
        kind=column.kind,
        inferred=column.inferred,
        missing=column.missing,
        levels=len(column.categories) or None,
        role=role,
    )
