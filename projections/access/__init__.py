"""Who may see which repository."""
