"""Pinned tables; see README.md beside them for origin and licence."""
