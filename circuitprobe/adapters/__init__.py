"""What comes in: checkpoints become probed models, tables become audited rows."""
