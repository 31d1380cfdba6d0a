"""Scores of a code against the factors that the data were made from: MIG, DCI, SAP, FactorVAE score (METHOD.md section 5)."""

from __future__ import annotations

from circuitprobe.metrics.ground_truth.dci import Dci, dci
from circuitprobe.metrics.ground_truth.factor_vae import FactorVae, Votes, draw_votes, factor_vae, resampled_scores
from circuitprobe.metrics.ground_truth.mig import Mig, mig, mig_gaps
from circuitprobe.metrics.ground_truth.sap import Sap, sap

__all__ = [
    "Dci",
    "FactorVae",
    "Mig",
    "Sap",
    "Votes",
    "dci",
    "draw_votes",
    "factor_vae",
    "mig",
    "mig_gaps",
    "resampled_scores",
    "sap",
]
