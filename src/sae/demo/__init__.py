"""A page to try a finished run on: served to this machine alone, with nothing from the web."""
