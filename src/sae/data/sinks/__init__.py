"""Output formats, one per file, found by the suffix of the output file."""
