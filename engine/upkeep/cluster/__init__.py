"""Folding and proving all books of a segment store on Spark."""
