"""The facts: exact amounts, event types, canonical bytes, the hash chain and the append-only store.

Nothing here knows of balances or of profit. Imports point one way: cli -> engine -> projections -> ledger.
"""
