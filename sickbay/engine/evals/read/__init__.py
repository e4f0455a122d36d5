"""Readers: one file a format. Each appends problems with file and line, and never stops at the first."""
