"""The kinds of files that one venue or one bot exports: a module or package for each, with its `KIND`."""
