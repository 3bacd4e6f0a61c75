"""Obligations: what every agent owes, who sees that it did not come, and what is done then (DESIGN section 6)."""
