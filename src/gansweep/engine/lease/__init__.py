"""Leases: which worker holds an attempt at a trial, and which GPU it uses."""
