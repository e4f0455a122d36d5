"""Which symptom it is, from what other checks measured."""
