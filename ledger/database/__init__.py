"""All that knows an engine: connections, faults, column types, tables, triggers. One store, on SQLite and PostgreSQL."""
