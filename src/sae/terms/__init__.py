"""Penalties on the code, which are added to the loss; and noise, which is added to the input."""
