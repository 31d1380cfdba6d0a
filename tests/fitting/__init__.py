"""Rows and models brought together."""
