"""A trained run as a folder that others can use."""
