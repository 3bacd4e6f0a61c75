"""Users, organisations and tokens, as they are now."""
