"""Variational autoencoders whose scores are worked out on paper, and an independent slow implementation of them."""
