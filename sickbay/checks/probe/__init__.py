"""What a user would measure."""
