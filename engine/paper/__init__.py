"""The paper session: a small quoting loop over a recorded tape, whose fills and marks go into a paper book.

The path of one row: `tape` -> `anchor` -> `quoting` (with the gate of `exposure`) -> `events` -> the bookkeeper. `session`
drives the loop; `session_log` says why there were no quotes.
"""
