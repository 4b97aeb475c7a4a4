"""Rules of style that a linter does not know."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source_tree import CODE_FOLDERS, ROOT, place, python_files, text_files, tree_of

Function = ast.FunctionDef | ast.AsyncFunctionDef

LONGEST_FUNCTION_LINES = 60
LONG_FUNCTION_LINES = 40
LONG_FUNCTIONS_SHARE = 0.04  # what the admired code bases of STYLE stay under

SQL = re.compile(
    r"^\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|REPLACE\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+.*\sAS\s*\("
    r"|(CREATE|DROP|ALTER)\s+(UNIQUE\s+|VIRTUAL\s+|TEMP\s+)?(TABLE|INDEX|VIEW|TRIGGER)\s|PRAGMA\s|BEGIN\s+\w)",
    re.IGNORECASE | re.DOTALL,
)

# Spelled apart, so that this file does not break the rule that it states.
FORBIDDEN_WORDS = {
    "swallows what must not be swallowed": "except " + "BaseException",
    "a test that does not run": "mark" + ".skip",
    "hides a line from the coverage": "pragma: " + "no cover",
    "an issue, not a comment": "TO" + "DO",
    "an issue, not a comment ": "FIX" + "ME",
}
REGISTRY_HOST = re.compile(
    r"\b(py[p]i\.org|python[h]osted\.org|npm[j]s\.(org|com)|[p]ypi\.python\.org)\b|(?<!emit-)index-[u]rl"
)
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(work|root|opt|home|Users)/\w")


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, Function))


def lines_of(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def sql_strings(tree: ast.Module) -> list[ast.Constant]:
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        if SQL.match(node.value)
    ]


def test_no_function_is_longer_than_sixty_lines() -> None:
    found = [
        f"{place(path, function.lineno)} {function.name}: {lines_of(function)} lines"
        for path in python_files(*CODE_FOLDERS)
        for function in functions(path)
        if lines_of(function) > LONGEST_FUNCTION_LINES
    ]
    assert not found, found


def test_functions_over_forty_lines_are_rare() -> None:
    lengths = {
        f"{place(path, function.lineno)} {function.name}": lines_of(function)
        for path in python_files("src")
        for function in functions(path)
    }
    long = [name for name, lines in lengths.items() if lines > LONG_FUNCTION_LINES]
    assert len(long) <= LONG_FUNCTIONS_SHARE * len(lengths), long


def test_sql_lives_in_sql_files() -> None:
    found = [place(path, node.lineno) for path in python_files("src") for node in sql_strings(tree_of(path))]
    assert not found, f"move the statement to a named section of the adapter's .sql file: {found}"


@pytest.mark.parametrize(
    "code",
    [
        'x = "SELECT * FROM t"',
        'x = f"insert or ignore into {t} values (?)"',
        'x = "PRAGMA synchronous"',
        'f("BEGIN IMMEDIATE")',
    ],
)
def test_sql_in_python_is_seen(code: str) -> None:
    assert sql_strings(ast.parse(code))


def test_no_habit_that_the_house_forbids() -> None:
    found = [
        f"{place(path, number)}: {reason.strip()}"
        for path, text in text_files()
        if path.suffix == ".py"
        for number, line in enumerate(text.splitlines(), start=1)
        for reason, word in FORBIDDEN_WORDS.items()
        if word in line
    ]
    assert not found, found


@pytest.mark.parametrize("pattern", [REGISTRY_HOST, MACHINE_PATH], ids=["registry host", "path of one machine"])
def test_no_file_is_tied_to_one_workplace(pattern: re.Pattern[str]) -> None:
    found = [
        f"{place(path, number)}: {hit[0]}"
        for path, text in text_files()
        for number, line in enumerate(text.splitlines(), start=1)
        if (hit := pattern.search(line))
    ]
    assert not found, found


def test_ties_to_one_workplace_are_seen() -> None:
    assert REGISTRY_HOST.search("see https://pypi" + ".org/simple")
    assert REGISTRY_HOST.search("--extra-index" + "-url https://example.com")
    assert MACHINE_PATH.search('open("/' + 'home/ann/x")')


def test_no_lock_file_of_one_registry_is_committed() -> None:
    """uv.lock writes down index addresses; requirements/*.txt are the locks, by hash alone."""
    assert not [path for path, _ in text_files() if path.name == "uv.lock"]
    assert not [path for path in (ROOT / "requirements").iterdir() if "://" in path.read_text()]
