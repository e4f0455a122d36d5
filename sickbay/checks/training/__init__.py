"""What a model was trained on."""
