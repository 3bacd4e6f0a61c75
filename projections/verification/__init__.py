"""Is a live generation what the log says? Replayed beside it and compared row for row (DESIGN section 7)."""
