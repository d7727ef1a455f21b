"""The HTML page of a report: one file, section by section."""
