"""Code monitors: runs begin where refs move, are evaluated where the clone is, and tell whom they have to."""
