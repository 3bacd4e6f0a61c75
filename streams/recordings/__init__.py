"""Recordings: dispatched in order, counted by the query runner."""
