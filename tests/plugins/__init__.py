"""A kind of each sort that the library does not have, as a user would write it."""
