"""The command line: one file per command in `cli.commands`; errors become exit codes only in `cli.main`."""
