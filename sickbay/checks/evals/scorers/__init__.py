"""Built-in scorers, one idea a file."""
