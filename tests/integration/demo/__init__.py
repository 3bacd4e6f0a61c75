"""The demo as a whole, on a stack of its own."""
