"""What was changed of the site's settings; what was not has its default."""
