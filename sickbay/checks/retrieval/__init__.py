"""Retrieval: the index, its results, the right passage."""
