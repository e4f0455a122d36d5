"""Pure measuring code: arithmetic over what was read, no input or output."""
