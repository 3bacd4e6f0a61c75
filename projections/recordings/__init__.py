"""What is asked to be counted, what is being counted, and how it ended."""
