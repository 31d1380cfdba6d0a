"""Adult: census income, 48,842 people."""

from __future__ import annotations

from circuitprobe.adapters.benchmarks.declaration import Benchmark, columns_schema, feature_groups

ADULT = Benchmark(
    name="adult",
    title="Adult",
    filename="adult.csv.xz",
    target="income",
    outcomes=("income",),
    ignore=("fnlwgt",),  # the census bureau's weight of the person, no property of theirs
    groups=feature_groups(
        demographic=("age", "race", "sex", "native_country"),
        education=("education", "education_num"),
        work=("workclass", "occupation", "hours_per_week"),
        family=("marital_status", "relationship"),
        capital=("capital_gain", "capital_loss"),
    ),
    # "?" is a category like any other: not knowing someone's occupation says something.
    schema=columns_schema(
        categorical=(
            "workclass",
            "education",
            "marital_status",
            "occupation",
            "relationship",
            "race",
            "native_country",
        ),
        numeric=("age", "education_num", "capital_gain", "capital_loss", "hours_per_week"),
        ignore=("fnlwgt",),
        source="the benchmark adult",
    ),
    attribution="B. Becker, R. Kohavi (1996), Adult, UCI Machine Learning Repository, doi 10.24432/C5XW20, CC BY 4.0",
)
