"""Readers of the papers' photographs, by a path on this machine. None of them comes with the package."""
