"""Live previews: what a series would look like, counted by the API itself in a few repositories of this machine."""
