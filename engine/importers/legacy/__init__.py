"""Importing the first user's old database: its SQLite file is read from a copy and becomes events.

    copying         a consistent copy of a file that may be written to meanwhile, made without opening it in SQLite
    columns         the column of each field in the old tables, and what is missing
    values          one cell as a value; the only place where a binary float becomes a decimal
    rows            the old rows as values
    pairing         which ledger row belongs to which fill
    chain           the old running balances, taken apart into changes, capital and jumps
    holding         whether the old balances include capital events
    movements       movements that the book has already, by their transaction hash
    events          rows and balances as events
    importing       one import, or its dry run
    causes          why an old total and a new one differ
    reconciliation  the old figures compared with the new ones, every difference with its causes

The boundary, in numbers. 100 RLUSD were deposited; the old engine then started with 110 (10 of them not recorded anywhere)
and bought for 15; then 50 were deposited; then it sold for 14:

    capital_events     deposit 100                 deposit 50
    inventory_ledger                −15 → 95                     +14 → 159

The opening is 95 + 15 = 110. It includes the deposit of 100, which must count once; the other 10 become an adjustment
`opening`. The deposit of 50 lies between two rows, so the second balance includes it: the old total is 159, and so is
100 + 10 − 15 + 50 + 14. The last balance plus all capital events, 309, would count both deposits twice.
"""
