"""Code monitors: a trigger query, and what is done when it finds something new."""
