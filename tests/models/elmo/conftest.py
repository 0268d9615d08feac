"""Sentences for small ELMo models."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def elmo_sentences() -> list[list[str]]:
    """Several lengths, one of them 0; words longer than a model reads, repeated words, several scripts."""
    texts = ["The cat sat .", "", "a", "Straßenbahnhaltestelle naïve 東京 🎉 .", "The The cat", "b c d e f g h i j k"]
    return [text.split() for text in texts]
