"""The engine's log."""
