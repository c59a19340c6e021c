"""A book in the forms of other programs: events as files that netbasis reads back, journals, tables, tax tools."""
