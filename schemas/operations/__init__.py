"""What operators decided about projections."""
