"""Which repositories are followed, and whether their clones are ready."""
