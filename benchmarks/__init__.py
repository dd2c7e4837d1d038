"""Measurements: how fast, against what, and whether the answers are the same. Run as modules, never by pytest."""
