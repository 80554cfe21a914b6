"""What the training makes of its samples, a little different at each step."""
