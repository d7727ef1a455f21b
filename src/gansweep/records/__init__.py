"""The run record: the format on disk, its writer, and its readers."""
