"""Tables and images in: reading, profiling, encoding into a model's space, feature groups."""

from __future__ import annotations

from circuitprobe.adapters.data.apply import apply_encoding
from circuitprobe.adapters.data.arrays import array_data
from circuitprobe.adapters.data.candidates import candidate_encodings
from circuitprobe.adapters.data.encoding import fit_encoding
from circuitprobe.adapters.data.encoding_store import encoding_from_dict, encoding_to_dict
from circuitprobe.adapters.data.features import encoding_features
from circuitprobe.adapters.data.groups import check_groups, cluster_groups, load_groups
from circuitprobe.adapters.data.image_source import ArrayRows, array_rows, is_array_source, read_array_source
from circuitprobe.adapters.data.known_factors import KnownFactors
from circuitprobe.adapters.data.patches import grid_of, patch_features
from circuitprobe.adapters.data.pixels import (
    Images,
    StoredRange,
    image_layouts,
    intensities,
    other_channels,
    stored_range,
)
from circuitprobe.adapters.data.schema import ColumnSchema, TableSchema
from circuitprobe.adapters.data.table import read_table

__all__ = [
    "ArrayRows",
    "ColumnSchema",
    "Images",
    "KnownFactors",
    "StoredRange",
    "TableSchema",
    "apply_encoding",
    "array_data",
    "array_rows",
    "candidate_encodings",
    "check_groups",
    "cluster_groups",
    "encoding_features",
    "encoding_from_dict",
    "encoding_to_dict",
    "fit_encoding",
    "grid_of",
    "image_layouts",
    "intensities",
    "is_array_source",
    "load_groups",
    "other_channels",
    "patch_features",
    "read_array_source",
    "read_table",
    "stored_range",
]
