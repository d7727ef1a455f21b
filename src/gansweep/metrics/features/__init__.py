"""Feature spaces in which scores are measured, and their networks."""
