"""Labelled data sets: readers, canonical form, splits, subsets, statistics, overlap."""
