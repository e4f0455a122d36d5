"""Correctness: scorers, and the check that asks an eval set."""
