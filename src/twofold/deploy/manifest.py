"""Plain values as YAML that people read and every parser takes: YAML 1.1 and 1.2, Python's and Go's.

PyYAML is the extra `deploy`: whoever runs a service needs none of it, so this module alone imports it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from twofold.errors import SettingsError

try:
    import yaml
except ImportError as error:
    raise SettingsError(
        f"twofold deploy writes YAML, and PyYAML can't be loaded ({error}); nothing was written "
        "(run: pip install 'twofold[deploy]')"
    ) from None

__all__ = ["Tree", "to_yaml"]

Tree: TypeAlias = "Mapping[str, Tree] | Sequence[Tree] | str | int | float | bool | None"

_NUMBERS_OF_YAML_1_2 = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+|0o[0-7]+")
"""The commit 12e4567 is one: PyYAML would leave it bare, and Kustomize read a number."""


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks; what is in two places written out in both."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(str, _text)
_Dumper.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType] - its stub has no types here, nor above
    "tag:yaml.org,2002:float", _NUMBERS_OF_YAML_1_2, list("-+0123456789")
)


def to_yaml(*documents: Tree, comment: str = "") -> str:
    """The documents as one text, behind a comment of one or more lines."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    width = sys.maxsize  # a line is never broken: a diff has the whole of it
    return head + yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)
