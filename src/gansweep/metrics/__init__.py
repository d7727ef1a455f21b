"""Measurement of samples: the panel of scores, its protocol and its caches."""
