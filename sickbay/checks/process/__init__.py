"""The engine's process on this host."""
