"""What the events add up to: pure folds `(state, event) -> state`, no clock and no database.

One module per projection, each with its state, its empty state and `apply`. `projections.state` holds them together.
"""
