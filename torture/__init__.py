"""What the suite shows in minutes, shown at length: `make torture`. See docs/reliability.md."""
