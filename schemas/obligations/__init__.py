"""Obligations: what an agent owes for an event, and what is said when it did not come."""
