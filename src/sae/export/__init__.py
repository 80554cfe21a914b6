"""Export a finished run to a file for other programs, or to a folder for a model hub."""
