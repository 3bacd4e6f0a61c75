"""Where is my event? One event followed from the log through guards, projections and agents, to what it caused and what is owed."""
