"""The paper session: a small quoting loop over a recorded tape, which makes the events that the ledger keeps.

The way of one row: `tape` -> `anchor` -> `quoting` (with the gate of `exposure`) -> `events` -> the bookkeeper; `session`
drives it, `session_log` says why there were no quotes.
"""
