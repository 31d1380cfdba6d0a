"""Intervals, nulls and tests."""
