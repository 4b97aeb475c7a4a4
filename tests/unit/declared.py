"""Declarations from source text, so that wrong ones can stand in a table and no type checker stumbles over them."""

import itertools
import sys
from textwrap import dedent
from types import ModuleType

PRELUDE = """
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID
from twofold import *
from twofold import Meta, Metadata
"""

BANK = """
class OpenAccount(Command):
    account_id: str
    owner: str

class Deposit(Command):
    account_id: str
    amount: Decimal

class AccountOpened(Event):
    account_id: str
    owner: str

class Deposited(Event):
    account_id: str
    amount: Decimal
"""

_numbers = itertools.count(1)


def module_of(*codes: str) -> ModuleType:
    """A module made from the texts, after the public names and the messages of a bank."""
    module = ModuleType(f"declared_{next(_numbers)}")
    sys.modules[module.__name__] = module  # annotations are resolved in the module of their class
    for code in (PRELUDE, BANK, *codes):
        exec(dedent(code), vars(module))
    return module
