"""Storages of a sweep's study: journal file, databases and the gRPC proxy."""
