"""Uploads: indexes of code, and the states that they go through."""
