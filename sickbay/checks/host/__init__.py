"""The machine below the engine."""
