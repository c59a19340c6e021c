"""The log in columns, for analytic engines: it reads the log and never writes to it."""
