"""Wine quality: 6,497 Portuguese wines, red and white."""

from __future__ import annotations

from circuitprobe.adapters.benchmarks.declaration import Benchmark, columns_schema, feature_groups

_NUMERIC = (
    "fixed_acidity",
    "volatile_acidity",
    "citric_acid",
    "residual_sugar",
    "chlorides",
    "free_sulfur_dioxide",
    "total_sulfur_dioxide",
    "density",
    "pH",
    "sulphates",
    "alcohol",
    "quality",
)

WINE_QUALITY = Benchmark(
    name="wine_quality",
    title="Wine Quality",
    filename="wine_quality.csv.xz",
    target="quality",
    outcomes=("quality", "color"),
    ignore=(),
    groups=feature_groups(
        acidity=("fixed_acidity", "volatile_acidity", "citric_acid", "pH"),
        sulfur=("free_sulfur_dioxide", "total_sulfur_dioxide", "sulphates"),
        body=("residual_sugar", "density", "alcohol"),
        salt=("chlorides",),
    ),
    schema=columns_schema(numeric=_NUMERIC, source="the benchmark wine_quality"),
    attribution="P. Cortez, A. Cerdeira, F. Almeida, T. Matos, J. Reis (2009), Wine Quality, UCI Machine Learning "
    "Repository, doi 10.24432/C56S3T, CC BY 4.0",
    positive_from=6,
    positive_labels=("not good", "good"),
)
