"""What a check found, as it is printed and written."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

CHECK_VERSION = "1.0"
Outcome = Literal["pass", "regression", "inconclusive"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(_Model):
    """A figure with its 95 % interval; null where undefined."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class GateResult(_Model):
    """One gate on one figure."""

    metric: str
    group: str | None = Field(description="the feature group, or the feature, that the gate names")
    latent: str | None = Field(description="the baseline's latent; null for a figure of the model")
    new_latent: str | None = Field(description="its counterpart in the new model")
    condition: str = Field(description="what was demanded, such as 'falls by 0.05 at most'")
    tolerance: str = Field(description="the same in short, such as '-0.05'")
    level: Literal["error", "warn"]
    baseline: Figure | None
    new: Figure
    difference: Figure | None = Field(description="new - baseline")
    paired: bool
    bound: float | None = Field(
        description="what the difference, or the new value, is held against, in its own direction"
    )
    p: float | None = Field(
        description="one-sided, of the hypothesis that the condition holds; null for a figure that is gone"
    )
    p_corrected: float | None = Field(description="Holm-Sidak over all gates of the check")
    outcome: Outcome
    rows_to_decide: int | None = Field(description="rows that would decide an inconclusive gate if the value stayed")
    message: str

    def fails(self, *, strict: bool) -> bool:
        """Whether the build fails by it."""
        return self.level == "error" and (self.outcome == "regression" or (strict and self.outcome == "inconclusive"))


class LatentMatch(_Model):
    """A latent of the baseline and its counterpart."""

    baseline: str
    new: str | None
    similarity: float | None


class CheckResult(_Model):
    """METHOD.md section 7 on two audits."""

    check_version: str = CHECK_VERSION
    baseline: str
    new: str
    gates_from: str
    paired: bool
    warnings: tuple[str, ...] = Field(description="what may have moved figures beside the model")
    not_gated: tuple[str, ...] = Field(description="gates of the default gate whose figures the baseline lacks")
    latents: tuple[LatentMatch, ...]
    results: tuple[GateResult, ...]
    strict: bool = Field(description="inconclusive gates fail too")
    outcome: Outcome
    exit_code: Literal[0, 1]

    def of(self, outcome: Outcome) -> tuple[GateResult, ...]:
        """The gates with an outcome."""
        return tuple(result for result in self.results if result.outcome == outcome)
