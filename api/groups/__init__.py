"""Tools for consumer groups: who reads what, and setting a group's offsets when nobody is in it."""
