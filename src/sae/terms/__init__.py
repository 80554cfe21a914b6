"""What is added to a loss, or to an input: penalties on the code, and noise."""
