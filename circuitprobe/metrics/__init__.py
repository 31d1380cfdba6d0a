"""Pure functions of arrays: one metric, one file."""
