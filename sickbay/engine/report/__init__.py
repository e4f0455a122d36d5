"""One file a format, rendered from the report."""
