"""What a stranger on the network could ask of the service."""
