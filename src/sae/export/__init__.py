"""A finished run as a file that other programs run, or as a folder for a hub of models."""
