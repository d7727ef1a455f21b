"""A page to play with a trained run, served on this machine alone."""
