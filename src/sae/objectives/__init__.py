"""What a training minimises: to reconstruct, to classify."""
