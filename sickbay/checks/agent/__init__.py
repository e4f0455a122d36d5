"""What agents did with their tools."""
