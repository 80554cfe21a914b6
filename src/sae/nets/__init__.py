"""What maps inputs to codes and back: layers, and the stack of several."""
