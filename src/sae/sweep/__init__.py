"""Search for the settings of a run with the best validation result."""
