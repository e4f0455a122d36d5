"""Built-in checks: one subject a folder, one look-and-judge pair a file."""
