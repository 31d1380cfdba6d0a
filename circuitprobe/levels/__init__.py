"""From runs of the model to the report's entries: one file per level, and one for what surrounds them."""
