"""Studies: many models trained and audited, and what they say together."""
