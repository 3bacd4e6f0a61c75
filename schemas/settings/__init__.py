"""Site settings: what may be changed while everything runs."""
