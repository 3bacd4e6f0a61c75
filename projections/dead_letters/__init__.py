"""What projections put aside, as operators read it: dead letters and quarantine of the live generations."""
