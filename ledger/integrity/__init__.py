"""Proving a log: the file, the schema, the chain from the bodies alone, the rules of the log. Nothing read is trusted."""
