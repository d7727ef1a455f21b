"""Change samples through their codes, and find the codes of real pictures."""
