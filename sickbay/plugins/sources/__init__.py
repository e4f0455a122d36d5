"""Where signals come from besides the engine itself."""
