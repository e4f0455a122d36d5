"""Redaction, recomputation, bundles."""
