"""Futures of a book, invented by Hypothesis, and the invariants held over each of their steps.

    tested = property_test(database, "main", examples=200, seed=7)
    tested.failure                      # None, or what does not hold and the shortest future that shows it

A future goes on from the present of the book's own log, in memory (`simulation.py`): a few days with a few events each.
Most are facts, drawn whole. A decision is drawn as a wish (half of what is there; all of the profit and a little more) that
the engine turns into an event, or refuses, in the state that the future has by then. So a future from which Hypothesis
takes events away, looking for the shortest, is one that could happen, too. Strange events are common on purpose: dust,
amounts of 38 digits, rebates, unknown fees, prices of nearly nothing, reversals of reversals.
"""
