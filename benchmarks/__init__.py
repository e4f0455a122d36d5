"""Measured speed. `make bench` runs everything; nothing here is asserted in a test."""
