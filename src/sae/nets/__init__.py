"""Networks that map inputs to codes and back: layers, and the stack of several layers."""
