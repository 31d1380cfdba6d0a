"""The audit report: what the JSON holds, as versioned pydantic models.

Field names are METHOD.md's. Every measured number is an ``Estimate``; null stands for undefined, never 0 or 1. Nothing
here depends on the time, the machine or absolute paths, so one command gives the same bytes twice.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from circuitprobe.types import ColumnKind, Estimate, FeatureKind, Link, PixelRange, Scaling

SCHEMA_VERSION = "2.4"
READ_VERSIONS = ("2.0", "2.1", "2.2", "2.3", SCHEMA_VERSION)
"""Versions of reports that are read."""
METHOD_VERSION = "1"
"""Moves where a formula changes: audits of different versions are not compared."""

Role = Literal["feature", "target", "condition", "left out"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelReport(_Model):
    """The audited model: what it is and what was recognised in it."""

    source: str = Field(description="file name, or class name of a module handed over in Python")
    class_name: str
    latents: int = Field(description="d, number of latents")
    code_columns: int | None = Field(
        default=None, description="columns of the flat code without the condition; d where every latent is one column"
    )
    code_shape: tuple[int, ...] = Field(default=(), description="shape of one code; empty for a flat one")
    codes: int | None = Field(
        default=None, description="size of the codebook of a discrete code; null for a continuous one"
    )
    condition_width: int = Field(
        default=0, description="last dimensions of a row, given to both halves; no intervention touches them"
    )
    prior_only: str | None = Field(
        default=None,
        description="why the model has no encoder, so that codes were drawn from N(0, I); null where it has one",
    )
    input_width: int = Field(description="number of model dimensions")
    parameters: int
    dtype: str
    weights_sha256: str = Field(description="digest over names, shapes and bytes of the state_dict")
    encode: str = Field(description="what was taken as the encoder")
    decode: str = Field(description="what was taken as the decoder")
    posterior: str = Field(description="how the encoder's output was read")
    evidence: tuple[str, ...] = Field(description="what supports the recognition")


class ColumnReport(_Model):
    """One raw column as profiled over the whole table."""

    name: str
    kind: ColumnKind
    inferred: bool
    missing: int
    levels: int | None = Field(description="number of distinct values of a binary or categorical column")
    role: Role


class FeatureReport(_Model):
    """One feature and how its changes were measured."""

    name: str
    kind: FeatureKind
    group: str
    dims: tuple[int, ...] = Field(description="model dimensions it spans")
    link: Link = Field(description="what was applied to the decoder's output")
    std: float | None = Field(
        description="s_f: standard deviation over the audited rows in the model's space, divisor n"
    )
    std_low: float | None = Field(default=None, description="lower end of its 95 % interval")
    std_high: float | None = None
    center: float | None = Field(description="subtracted from the raw value; null for one-hot blocks and arrays")
    scale: float | None = Field(description="divided the centred raw value; null for one-hot blocks and arrays")
    categories: tuple[str, ...] = Field(description="names of the dimensions; (zero, one) for a binary feature")


class LeftOutReport(_Model):
    """A column that no score is computed on."""

    name: str
    reason: str


class MissingReport(_Model):
    """Missing or unseen values among the audited rows."""

    name: str
    count: int
    treatment: str


class EncodingTried(_Model):
    """One way of turning the rows into the model's inputs, and how well the model reconstructs under it."""

    scaling: Scaling | PixelRange
    layout: str
    mse: float | None = Field(
        description="reconstruction MSE over that of the column means; without an encoder the mean over features of delta_f^2 "
        "between the mean of decoded draws and the mean row; null where it is not finite"
    )
    chosen: bool


class ImageReport(_Model):
    """How stored images became the model's inputs."""

    stored: str = Field(description="how they were stored, and what had to be done to read them")
    layout: str = Field(description="where the channels stood, and the shape in which the model got one image")
    shape: tuple[int, int, int] = Field(description="channels, height, width")
    range: PixelRange = Field(description="what intensities from 0 to 1 became for the model")
    output: str = Field(description="how the decoder's output was read as intensities")
    grid: tuple[int, int] = Field(description="rows and columns of patches; 0, 0 where the caller named the features")


class DataReport(_Model):
    """The audited rows."""

    source: str
    rows_total: int
    rows_audited: int
    rows_sha256: str = Field(description="digest over the audited rows in the model's space")
    sample_sha256: str | None = Field(
        default=None,
        description="digest over the audited rows before any encoding; null where they came in the model's space",
    )
    columns: tuple[ColumnReport, ...]
    features: tuple[FeatureReport, ...]
    groups: dict[str, tuple[str, ...]]
    groups_from: str
    scaling: Scaling | None = Field(description="null where rows came as an array in the model's space")
    encodings_tried: tuple[EncodingTried, ...]
    left_out: tuple[LeftOutReport, ...]
    missing: tuple[MissingReport, ...]
    target: str | None
    image: ImageReport | None = Field(default=None, description="null for anything but images")
    condition: tuple[str, ...] = Field(default=(), description="columns that condition both halves; no features")
    renamed: dict[str, str] = Field(
        default_factory=dict,
        description="the model's names of columns with those of the table, matched but for case, spaces and signs",
    )


class FeatureReconstruction(_Model):
    """How well one feature is reconstructed from z = mu(x)."""

    mse: Estimate = Field(description="mean over rows of delta_f^2; null value: predicting the mean or the frequencies")
    r2: Estimate | None = Field(description="numeric features")
    accuracy: Estimate | None = Field(description="binary and categorical features; null value: the commonest category")


class Reconstruction(_Model):
    """METHOD.md section 5: D(mu(x)) against x."""

    mse: Estimate = Field(description="mean over rows and features of delta_f^2; null value: column means, frequencies")
    reconstructs: bool = Field(description="mse is below its null value")
    features: dict[str, FeatureReconstruction]


class Response(_Model):
    """How one feature answers a latent, with its sign: one entry per category, else one."""

    value: tuple[float, ...]
    low: tuple[float, ...] = Field(description="lower ends of the 95 % intervals")
    high: tuple[float, ...]


class LatentReport(_Model):
    """METHOD.md section 2 for one latent."""

    name: str
    columns: tuple[int, ...] = Field(
        default=(), description="columns of the flat code that it is made of, moved together"
    )
    active: bool = Field(
        description="KL above 0.01 nats; without a variance: mu, or the index, is not the same in every row; without an encoder: "
        "CES above 0"
    )
    kl: Estimate = Field(
        description="mean over rows of KL(q(z_i|x) || N(0,1)), nats, summed over its columns; null for a discrete code and without "
        "an encoder"
    )
    scale: Estimate = Field(
        description="s_i: standard deviation of the aggregate posterior, root mean square over its columns; 1 for a discrete code "
        "and without an encoder"
    )
    posterior_values: tuple[float, ...] = Field(
        description="v_ik, posterior-calibrated or given by the caller; of a latent of several columns the mean over them"
    )
    prior_values: tuple[float, ...] = Field(description="likewise; for a discrete code indices from the whole codebook")
    ces: Estimate
    ces_prior: Estimate
    on_support_rate: Estimate
    on_support_rate_prior: Estimate
    specificity: Estimate
    inverse_entropy: Estimate
    disentanglement: Estimate = Field(description="D_i over the feature groups")
    effects: dict[str, Estimate] = Field(description="e_{i,f}, one row of the effect matrix")
    group_effects: dict[str, Estimate] = Field(description="R_{ig}")
    response: dict[str, Response] = Field(
        default_factory=dict,
        description="mean over rows and k of w_k times the decoded value, w_k the intervention values without first and last, "
        "standardised; decoded values weigh as in delta_f; tells latents apart that change the same features in other ways",
    )


class Scores(_Model):
    """The model's values of METHOD.md section 2."""

    ces: Estimate
    ces_active: Estimate
    ces_prior: Estimate
    calibration_ratio: Estimate
    on_support_rate: Estimate
    on_support_rate_prior: Estimate
    specificity: Estimate
    inverse_entropy: Estimate
    fgd: Estimate = Field(description="null value: mean over the permutations")
    fgd_adjusted: Estimate
    fgd_p: float | None = Field(description="(1 + #{null >= FGD}) / (P + 1)")
    fgc: Estimate
    completeness: dict[str, Estimate] = Field(description="C_g per feature group")
    modularity: Estimate = Field(description="over the hidden units of all decoder layers")
    modularity_by_layer: dict[str, Estimate]
    active_latents: int


class Twin(_Model):
    """METHOD.md section 5: the same architecture with freshly initialised weights, same rows, same seed."""

    how: str = Field(description="how its weights were drawn, or why there is no twin")
    scores: Scores | None
    mse: Estimate | None


class Downstream(_Model):
    """METHOD.md section 5: logistic regression on mu(x), 5-fold stratified, one-vs-rest macro average."""

    target: str
    classes: tuple[str, ...]
    auc: Estimate = Field(description="null value 0.5")


class LevelStatus(_Model):
    """Whether a level of METHOD.md ran."""

    level: Literal[1, 2, 3, 4]
    name: str
    run: bool
    reason: str | None


class NotRun(_Model):
    """A part of an audit that was left out although nobody asked for that."""

    part: str
    reason: str


class AuditWarning(_Model):
    """Something the reader must know before trusting a figure."""

    code: str
    message: str


class Settings(_Model):
    """What the figures depend on beside model and rows."""

    seed: int
    intervention_values: int = Field(description="K")
    resamples: int
    permutations: int
    interval: str = "95 % percentile bootstrap over audited rows"
    values_from: Literal["posterior", "caller"]
    levels: tuple[int, ...] = Field(description="asked for")
    sources: int = Field(description="R")
    sources_from: Literal["drawn", "caller"]
    sites: tuple[str, ...] | None = Field(description="globs that choose the sites of level 3; null: the activations")
    backend: Literal["hooks", "nnsight"]
