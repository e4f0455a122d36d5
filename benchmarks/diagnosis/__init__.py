"""How often the first-ranked cause is right: injected faults and real incidents."""
