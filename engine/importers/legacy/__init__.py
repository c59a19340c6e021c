"""The first user's old database comes over: its SQLite file is read from a copy and becomes events (SPEC 8).

    copying         a consistent copy of a file that somebody may be writing to, made without opening it in SQLite
    columns         where each field stands in the old tables, and what is missing
    rows            the old rows as values; the one place where a binary float becomes a decimal
    chain           the old running balances: what the opening holds, which row belongs to which fill
    events          rows and balances as events
    importing       one import, or its rehearsal
    reconciliation  the old figures against the new ones, every difference with its causes

The boundary, in numbers. 100 RLUSD were deposited, then the old engine started with 110 (10 nobody had written down) and
bought for 15; then 50 came in, then it sold for 14:

    capital_events     deposit 100                 deposit 50
    inventory_ledger                −15 → 95                     +14 → 159

The opening is 95 + 15 = 110: the deposit of 100 is in it and counts once, the 10 beyond it become an adjustment `opening`.
The deposit of 50 lies between two rows, so the ledger's balance has it: the old total is 159, and so is 100 + 10 − 15 + 50 +
14. The sum of the last balance and all capital events, 309, would count both deposits twice.
"""
