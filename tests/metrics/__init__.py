"""The metrics alone, on arrays."""
