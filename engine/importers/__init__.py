"""Foreign files become events."""
