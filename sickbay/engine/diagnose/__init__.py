"""Causes times signals: weigh, rank, and say what is missing. Pure arithmetic."""
