"""The mark on what leaves the building, and reading it back."""
