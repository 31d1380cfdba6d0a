"""Scores against known factors."""
