"""The encodings under which a stranger's model may have been trained."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from circuitprobe.adapters.data.encoding import BinaryAs, fit_encoding
from circuitprobe.adapters.data.width_error import no_encoding_fits
from circuitprobe.types import ColumnKind, Scaling, Table, TableEncoding

if TYPE_CHECKING:
    from collections.abc import Collection

    from circuitprobe.adapters.data.schema import TableSchema

_BINARY_AS: tuple[BinaryAs, ...] = ("one", "two if text", "two")


def candidate_encodings(
    table: Table, *, width: int | None, exclude: Collection[str] = (), schema: TableSchema | None = None
) -> list[TableEncoding]:
    """All plausible encodings of a table for a model of known input width, the plainest first.

    Tried are: columns in file order or numeric ones first; binary columns in one dimension, in two, or in two where
    they hold texts; constant columns of numbers left out or kept; no scaling, standard scaling, standard scaling of
    binary columns too, min-max. Encodings that come to the same are listed once.

    Args:
        table: the profiled table.
        width: the model's number of input dimensions; None for all encodings.
        exclude: columns that are no inputs, such as the target.
        schema: where it states a scaling, only that one is tried.

    Returns:
        At least one encoding.

    Raises:
        DataError: none has that width; shows both sides, column by column, and what would fit.
    """
    every: dict[tuple[object, ...], TableEncoding] = {}
    for constants, binary_as, numeric_first, scaling in product(
        (False, True), _BINARY_AS, (False, True), _scalings(table, exclude, schema)
    ):
        if constants and not any(column.kind is ColumnKind.CONSTANT for column in table.columns):
            continue
        encoding = fit_encoding(
            table,
            exclude=exclude,
            scaling=scaling,
            schema=schema,
            numeric_first=numeric_first,
            binary_as=binary_as,
            constants=constants,
        )
        every.setdefault(encoding.columns, encoding)
    encodings = list(every.values())
    if width is None:
        return encodings
    fitting = [encoding for encoding in encodings if encoding.width == width]
    if not fitting:
        raise no_encoding_fits(table, encodings, width, exclude)
    return fitting


def _scalings(table: Table, exclude: Collection[str], schema: TableSchema | None) -> tuple[Scaling, ...]:
    if schema is not None and schema.scaling is not None:
        return (schema.scaling,)
    if schema is not None and _all_declared(table, exclude, schema):
        return (Scaling.MODEL,)
    return (Scaling.NONE, Scaling.STANDARD, Scaling.STANDARD_ALL, Scaling.MIN_MAX)


def _all_declared(table: Table, exclude: Collection[str], schema: TableSchema) -> bool:
    declared = {column.name for column in schema.columns if column.center is not None}
    numeric = {column.name for column in table.columns if column.kind is ColumnKind.NUMERIC} - set(exclude)
    return bool(numeric) and numeric <= declared
