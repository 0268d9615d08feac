"""Testable statements of papers, one file a paper, each with an estimate, an interval and a verdict."""
