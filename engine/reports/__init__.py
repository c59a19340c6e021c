"""What the reading commands show: one function each. It reads; it prints nothing."""
