"""`python -m netbasis`: the command line."""

from cli.main import main

main()
