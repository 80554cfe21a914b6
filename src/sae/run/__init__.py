"""The folder of a run: its files, the process that works on it, and how to resume it."""
