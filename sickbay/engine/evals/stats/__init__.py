"""Statistics of paired runs: standard library only, cross-checked in the tests against scipy and statsmodels."""
