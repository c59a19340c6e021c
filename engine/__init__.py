"""Decisions and wiring: the composition root, classification, rebuild and check.

A bot's way in is `engine.bookkeeper.Bookkeeper`; it never calls the store.
"""
