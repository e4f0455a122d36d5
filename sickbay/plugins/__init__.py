"""Adapters to other people's systems."""
