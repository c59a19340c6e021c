"""Everything that knows about SQLite or PostgreSQL: connections, faults, column types, tables, triggers."""
