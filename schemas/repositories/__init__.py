"""Repositories: registered, described, pushed to."""
