"""Scheduled runs and their metrics over HTTP."""
