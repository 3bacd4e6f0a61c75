"""The engine's second half: what is new in a history, read once for every query that asks (DESIGN section 8)."""
