"""What agents were told to do again, and what was given up."""
