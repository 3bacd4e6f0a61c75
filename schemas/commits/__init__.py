"""Commits: which there are in a repository, how they hang together, and where its refs stand."""
