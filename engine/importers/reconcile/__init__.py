"""`reconcile`: the ledger against the balances that a venue states.

`balances` reads them, `comparing` says what is off and why it may be, `adjusting` records what a person allows.
"""
