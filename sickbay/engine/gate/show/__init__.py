"""The scorecard in every form a person or a machine reads: one file a form."""
