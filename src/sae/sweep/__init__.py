"""A search for the settings of a run that validate best."""
