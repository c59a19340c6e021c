"""Words in, words out: one file per command or group, and errors become exit codes only in `cli.main`."""
