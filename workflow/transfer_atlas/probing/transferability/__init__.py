"""Scores of a model state, before any training on the target, that are meant to tell how well it will transfer."""
