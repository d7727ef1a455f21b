"""Training procedures: one file for each, usually one paper."""
