"""The command line: argv in, text and exit code out. The work is in `operations.py` and below.

Each command imports what it needs when it runs, so that help and completion come at once.
"""

__all__ = ["main"]


def main() -> None:
    """Run `twofold` with this process's arguments, and end it with the command's exit code."""
    from twofold.cli.program import program

    program(prog_name="twofold")
