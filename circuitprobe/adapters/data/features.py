"""The features of an encoded table."""

from __future__ import annotations

from circuitprobe.types import Decode, Feature, FeatureKind, Link, TableEncoding


def encoding_features(encoding: TableEncoding) -> tuple[Feature, ...]:
    """One feature per column, over the dimensions it spans.

    Numeric features read as they are, in the model's space; a binary column that was standardised reads as a
    probability again (value * scale + center).

    Args:
        encoding: how the table became the model's input matrix.

    Returns:
        Features in the order of the model's dimensions.
    """
    features = []
    start = 0
    for column in encoding.columns:
        dims = tuple(range(start, start + column.width))
        start += column.width
        decode = Decode(dims, Link.IDENTITY)
        if column.kind is FeatureKind.BINARY:
            decode = Decode(dims, Link.IDENTITY, column.center, column.scale)
        features.append(Feature(column.name, column.kind, dims, decode, column.categories))
    return tuple(features)
