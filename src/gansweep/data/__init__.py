"""Data sets: exact toy distributions, image sets and folders, one interface."""
