"""The folder of a run: what lies in it, who is at work on it, and how it goes on."""
