"""Plan and run: deadlines, child processes, budget, journal, resume."""
