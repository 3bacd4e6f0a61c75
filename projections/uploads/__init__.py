"""The uploads projection: every upload as it is now, and how it came to be so."""
