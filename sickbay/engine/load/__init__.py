"""YAML to model: positions, schemas, expressions, every problem at once."""
