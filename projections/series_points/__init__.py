"""What was counted: points, coverage, plans and holes of every series."""
