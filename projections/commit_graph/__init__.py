"""Which uploads answer at a commit: what is known of commits, refs and uploads, and what follows from it."""
