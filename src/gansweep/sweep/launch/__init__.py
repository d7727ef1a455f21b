"""Launchers start workers; the workers do the rest."""
