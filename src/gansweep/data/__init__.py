"""Data sets: exact toy distributions, image sets and folders, with one interface."""
