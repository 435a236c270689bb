"""Measurements: what is run, what is kept of it, and how it is found again."""
