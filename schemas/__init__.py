"""What may be said: event types, the envelope, ids, the time grid. Imports nothing of ours."""
