"""The callers of the service."""
