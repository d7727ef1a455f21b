"""Reports: records as tables and pages."""
