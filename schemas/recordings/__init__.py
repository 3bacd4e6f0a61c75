"""Recordings: what is asked to be counted, and what is being counted now."""
