"""The process's logging, which tests change, as it was before."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers, root.level
    try:
        yield
    finally:
        root.handlers, root.level = before
        structlog.reset_defaults()
