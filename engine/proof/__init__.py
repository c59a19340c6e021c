"""Proving a ledger: `check`, the invariants that it holds over each event, and its notes."""
