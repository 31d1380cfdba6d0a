"""Default of credit card clients: 30,000 clients of a bank."""

from __future__ import annotations

from circuitprobe.adapters.benchmarks.declaration import Benchmark, columns_schema, feature_groups

_STATUS = ("pay_0", "pay_2", "pay_3", "pay_4", "pay_5", "pay_6")
_BILLS = tuple(f"bill_amt{month}" for month in range(1, 7))
_PAYMENTS = tuple(f"pay_amt{month}" for month in range(1, 7))

DEFAULT_CREDIT = Benchmark(
    name="default_credit",
    title="Default of Credit Card Clients",
    filename="default_credit.csv.xz",
    target="default_payment",
    outcomes=("default_payment",),
    ignore=(),
    groups=feature_groups(
        demographic=("sex", "education", "marriage", "age"),
        limit=("limit_bal",),
        status=_STATUS,
        bills=_BILLS,
        payments=_PAYMENTS,
    ),
    # Codes written as numbers; the payment status is one too, but ordered, and stays numeric.
    schema=columns_schema(
        categorical=("sex", "education", "marriage"),
        numeric=("limit_bal", "age", *_STATUS, *_BILLS, *_PAYMENTS),
        source="the benchmark default_credit",
    ),
    attribution="I-C. Yeh (2009), Default of Credit Card Clients, UCI Machine Learning Repository, "
    "doi 10.24432/C55S3H, CC BY 4.0",
)
