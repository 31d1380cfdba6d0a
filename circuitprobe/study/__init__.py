"""The study: many models trained and audited, and what their figures say together."""
