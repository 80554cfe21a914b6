"""What results are written to: a format a file, found by the end of its name."""
