"""Events that mean nothing and show that the path works."""
