"""What became of monitors: runs, their outcomes, and the actions that followed."""
