"""Inference engines, as data."""
