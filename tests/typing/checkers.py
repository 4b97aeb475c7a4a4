"""Runs pyright (strict) and mypy (--strict) over files, as a user's project would, and says what they found where."""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]

Found = dict[tuple[str, int], set[str]]
"""The rules or codes that a checker names at (file name, line)."""


def pyright(files: Sequence[Path], scratch: Path) -> Found:
    config = {
        "include": [os.path.relpath(file, scratch) for file in files],
        "extraPaths": [str(ROOT), str(ROOT / "src")],
        "pythonVersion": "3.11",
        "typeCheckingMode": "strict",
    }
    (scratch / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    command = ["-m", "pyright", "--outputjson", "--project", str(scratch), "--pythonpath", sys.executable]
    said = json.loads(_run(command))
    assert said["summary"]["filesAnalyzed"] == len(files), said["summary"]
    found: Found = defaultdict(set)
    for each in said["generalDiagnostics"]:
        where = Path(each["file"]).name, each["range"]["start"]["line"] + 1
        found[where].add(each.get("rule", "syntax"))
    return found


def mypy(files: Sequence[Path], scratch: Path) -> Found:
    command = ["-m", "mypy", "--strict", "--config-file=", "--explicit-package-bases", "--python-version=3.11"]
    said = _run(
        [*command, f"--cache-dir={scratch / 'mypy'}", "--no-error-summary", "--show-error-codes", *map(str, files)]
    )
    found: Found = defaultdict(set)
    for line in said.splitlines():
        error = re.match(r"(.+?):(\d+): error: .*\[([a-z-]+)\]$", line)
        assert error or ": note: " in line, line
        if error:
            found[Path(error[1]).name, int(error[2])].add(error[3])
    return found


def _run(arguments: Sequence[str]) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout
