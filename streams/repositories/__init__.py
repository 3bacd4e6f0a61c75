"""Repositories: made readable on the machine of their partition."""
