"""What trains: the module of a phase, how its steps are taken, and the loop over the stages."""
