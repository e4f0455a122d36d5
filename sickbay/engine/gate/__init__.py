"""Release gates: a candidate against a baseline, rule by rule, to one scorecard and one exit code."""
