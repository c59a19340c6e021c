"""Proving by trying out: `property-test` invents futures of a book, `verify-injection` injects into a copy of it.

    verdict = property_test(database, "main", examples=200, seed=7)
    verdict.failure                     # None, or what does not hold and the shortest future that shows it

Hypothesis invents the futures, and the invariants are checked at each of their steps. A future continues the book's own log
in memory (`simulation`): a few days with a few events each. Most events are facts, drawn directly. A decision is drawn as a
wish (half of the balance; all of the profit and a little more), which the engine turns into an event, or refuses, in the
state that the future has reached. So when Hypothesis removes events to find the shortest failing future, the remaining one
is still possible. Strange events are common on purpose: dust, amounts of 56 digits, rebates, unknown fees, prices near 0,
reversals of reversals.
"""
