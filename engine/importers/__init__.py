"""Foreign files become events; a folder for each source."""
