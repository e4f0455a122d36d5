"""Eval sets: items, readers, scorers' contract, asking, statistics. Knows no particular scorer."""
