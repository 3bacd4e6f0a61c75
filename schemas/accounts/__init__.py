"""Who may do what: users, organisations, tokens."""
