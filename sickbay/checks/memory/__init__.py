"""Memory beyond what one log line or one counter tells: after a death, in the allocator, over many requests."""
