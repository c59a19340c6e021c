"""The facts: exact amounts, event types, canonical bytes, the hash chain and the append-only store.

Nothing here knows about balances or profit, and nothing here imports from the other packages.
"""
