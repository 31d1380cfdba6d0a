"""Statlog German credit: 1,000 loans."""

from __future__ import annotations

from circuitprobe.adapters.benchmarks.declaration import Benchmark, columns_schema, feature_groups

GERMAN_CREDIT = Benchmark(
    name="german_credit",
    title="Statlog (German Credit Data)",
    filename="german_credit.csv.xz",
    target="credit_risk",
    outcomes=("credit_risk",),
    ignore=(),
    groups=feature_groups(
        account=("checking_status", "savings"),
        loan=("duration_months", "purpose", "credit_amount", "installment_rate"),
        history=("credit_history", "existing_credits", "other_debtors", "other_installment_plans"),
        employment=("employment_since", "job"),
        person=("personal_status_sex", "age", "dependents", "foreign_worker", "telephone"),
        property=("property", "housing", "residence_since"),
    ),
    schema=columns_schema(
        numeric=(
            "duration_months",
            "credit_amount",
            "installment_rate",
            "residence_since",
            "age",
            "existing_credits",
            "dependents",
        ),
        source="the benchmark german_credit",
    ),
    attribution="H. Hofmann (1994), Statlog (German Credit Data), UCI Machine Learning Repository, "
    "doi 10.24432/C5NC77, CC BY 4.0",
)
