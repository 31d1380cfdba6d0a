"""Versions of what a run's figures come from."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

from circuitprobe import __version__
from circuitprobe.report.model import METHOD_VERSION

PACKAGES = ("torch", "numpy", "pandas", "scipy", "scikit-learn", "statsmodels")


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    ours = (("circuitprobe", __version__), ("method", METHOD_VERSION), ("python", platform.python_version()))
    return (*ours, *((name, metadata.version(name)) for name in PACKAGES))


def versions() -> dict[str, str]:
    """circuitprobe, the method, Python, and the packages that figures come from."""
    return dict(_versions())
