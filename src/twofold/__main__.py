"""`python -m twofold`: the command line, where no script is installed."""

from twofold.cli import main

main()
