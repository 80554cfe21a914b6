"""Formats of an export: one a file, found by being there."""
