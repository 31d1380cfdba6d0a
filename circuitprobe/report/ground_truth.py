"""The part of the report on the factors that the data were made from."""

from __future__ import annotations

from pydantic import Field

from circuitprobe.report.model import LeftOutReport, _Model
from circuitprobe.types import Estimate


class FactorScores(_Model):
    """One factor: which latents tell it, and how far ahead the first is."""

    classes: int = Field(description="values that occur")
    entropy: float = Field(description="H(v_k) over the training rows, nats")
    mig: Estimate = Field(description="(I of the first latent - I of the second) / H(v_k)")
    mig_first: str
    mig_second: str | None = Field(description="null where there is one latent")
    information: dict[str, float] = Field(description="I(bin of z_i; v_k) per latent, nats")
    sap: Estimate = Field(description="held-out accuracy from the first latent - from the second")
    sap_first: str
    sap_second: str | None = Field(description="null where there is one latent")
    accuracy: dict[str, float] = Field(description="held-out accuracy of a linear classifier per latent")
    votes: dict[str, int] = Field(description="FactorVAE training votes per latent while this factor was fixed")
    voted: tuple[str, ...] = Field(description="latents that the FactorVAE classifier takes for this factor")
    importance: dict[str, float] | None = Field(description="R_ik of DCI per latent; null without DCI")
    completeness: Estimate | None = Field(description="1 - H(R_.k) / ln d; null without DCI")
    informativeness: Estimate | None = Field(description="held-out accuracy of the boosted trees; null without DCI")


class DciScores(_Model):
    """DCI over all factors."""

    disentanglement: Estimate = Field(description="no interval: importances come from the fits themselves")
    completeness: Estimate = Field(description="no interval, as above")
    informativeness: Estimate


class Ceilings(_Model):
    """What the factors themselves, each as one latent of variance 1, score on the same rows."""

    mig: float
    sap: float
    factor_vae: float


class GroundTruth(_Model):
    """METHOD.md section 5: MIG, SAP, FactorVAE score, DCI; null values are those of codes whose rows were permuted."""

    rows_train: int = Field(description="rows of MIG, and those that classifiers were fitted on")
    rows_test: int = Field(description="held-out rows")
    latents: tuple[str, ...]
    names: tuple[str, ...] = Field(description="the factors that are scored, in the order given")
    dead: tuple[str, ...] = Field(description="standard deviation of mu below 0.05: no votes in the FactorVAE score")
    left_out: tuple[LeftOutReport, ...] = Field(description="factors that no score is computed on")
    mig: Estimate
    sap: Estimate
    factor_vae: Estimate
    dci: DciScores | None = Field(description="null where it was not asked for")
    ceilings: Ceilings
    factors: dict[str, FactorScores]
