"""Where each event stands on the log, by who said it and under which id."""
