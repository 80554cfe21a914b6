"""Objectives: the loss that a training minimises, such as to reconstruct or to classify."""
