"""Results: what counting a repository found."""
