"""From what a caller asks for to the event that says so: pure, so that every rule of input can be tested by a table."""
