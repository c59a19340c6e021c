"""Decisions and wiring: one append, one view, and around them policy, capital, proof, importers, reports and upkeep.

A bot uses `engine.bookkeeper.Bookkeeper`, and never the store.
"""
