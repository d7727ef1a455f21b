"""Connections to external services, such as W&B."""
