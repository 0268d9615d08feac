"""Heads: what is trained on top of an encoder's states."""
