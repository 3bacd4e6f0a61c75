"""What Millstream stands on: the log, the database and the processes that run them."""
