"""Which accelerators can be seen, and what that does not prove."""
