"""Data only: target, signal, check, runbook, cause, verdict, report."""
