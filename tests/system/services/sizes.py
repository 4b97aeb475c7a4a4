"""How much of a fault is enough: the suite's share, or with FAULTS=full what the guarantees promise."""

import os

__all__ = ["size"]

FULL = os.environ.get("FAULTS") == "full"


def size(usual: int, full: int) -> int:
    return full if FULL else usual
