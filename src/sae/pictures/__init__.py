"""Pictures: what survives the code, what the layers have learnt, how the classes lie.

Each is two functions: ``numbers`` looks at networks and gives arrays, ``draw`` makes a figure of
these arrays alone. So a picture can be drawn again, or otherwise, from the ``.npz`` beside it.
"""
