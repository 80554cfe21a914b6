"""Verbs of the command line, one in each file. A new file here is a new verb."""
