"""The harness that runs the docs, proved by pages that are wrong."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.docs.blocks import names_postgres, steps_of
from tests.docs.runner import Page, PageError
from tests.servers.postgres import PostgresServer

FENCE = "```"


def run(folder: Path, text: str, postgres: PostgresServer | None = None) -> Page:
    page = folder / "page.md"
    page.write_text(dedent(text).replace("'''", FENCE), encoding="utf-8")
    project = folder / "project"
    project.mkdir(exist_ok=True)
    with Page(project, postgres) as running:
        for step in steps_of(page):
            running.run(step)
    return running


RIGHT = {
    "python in one namespace": """
        '''python
        x = 1
        '''
        '''python
        assert x == 1
        '''
        """,
    "await at the top": """
        '''python
        import asyncio
        x = await asyncio.sleep(0, 7)
        '''
        '''python
        assert x == 7
        '''
        """,
    "a file by its title": """
        '''python title="shop/app.py"
        answer = 42
        '''
        '''python
        from shop.app import answer
        assert answer == 42
        '''
        """,
    "a file by its first line, and written anew": """
        '''python
        # file: app.py
        answer = 1
        '''
        '''python
        import app
        '''
        '''python
        # file: app.py
        answer = 2
        '''
        '''python
        from app import answer
        assert answer == 2
        '''
        '''console
        $ python -c "import app; print(app.answer)"
        2
        '''
        """,
    "annotations resolved in the page": """
        '''python
        from __future__ import annotations
        import typing
        class Order: ...
        def place(order: Order) -> None: ...
        assert typing.get_type_hints(place)["order"] is Order
        '''
        """,
    "output with gaps": """
        '''console
        $ printf 'one 1234\\ntwo\\nthree\\nfour\\n'
        one ...
        ...
        four
        $ true
        $ printf 'a\\nb\\n'
        '''
        """,
    "folders and variables that last": """
        '''console
        $ mkdir inner
        $ cd inner
        $ export NAME=ann
        $ echo $NAME in $(basename $PWD)
        ann in inner
        '''
        """,
    "commands over several lines": """
        '''console
        $ echo one \\
            two
        one two
        '''
        """,
    "an expected failure": """
        '''console
        $ python -c 'import sys; print("no"); sys.exit(3)'  # exit status 3
        no
        '''
        """,
    "a script": """
        '''bash
        x=1
        test "$x" = 1
        '''
        """,
    "data": """
        '''json
        {"a": [1]}
        '''
        '''toml
        [tool.twofold]
        app = "shop:app"
        '''
        '''text
        ──▶
        '''
        """,
    "indented in a list": """
        * first

          '''python
          if True:
              y = 2
          '''
        """,
    "a test in the page": """
        '''python
        seen = []
        def test_one():
            seen.append(1)
        async def test_two():
            seen.append(2)
        '''
        '''python
        assert seen == [1, 2]
        '''
        """,
    "the names of a file": """
        '''python
        # file: shop.py
        from decimal import Decimal
        PRICE = Decimal("9.99")
        '''
        '''python
        assert PRICE == Decimal("9.99")
        '''
        """,
    "output with gaps over lines": """
        '''console
        $ printf 'x\\n.... 5 passed in 0.1 s\\n'
        ...5 passed...
        '''
        """,
    "a failure whose output is shown": """
        '''console
        $ python -c 'import sys; sys.exit("no")'
        no
        '''
        """,
    "not run with a reason": """
        <!-- not run: needs the network -->
        '''console
        $ false
        '''
        """,
}

WRONG = {
    "python that fails": ("'''python\nassert 1 == 2\n'''", AssertionError, ""),
    "a test in the page that fails": ("'''python\ndef test_x():\n    assert False\n'''", AssertionError, ""),
    "a command that fails": ("'''console\n$ false\n'''", PageError, "page.md:1: false: exit status 1, expected 0"),
    "a command that does not fail": (
        "'''console\n$ true  # exit status 1\n'''",
        PageError,
        "exit status 0, expected 1",
    ),
    "other output": ("'''console\n$ echo two\none\n'''", PageError, "--- was printed\ntwo"),
    "more output": ("'''console\n$ printf 'one\\ntwo\\n'\none\n'''", PageError, "--- was printed\none\ntwo"),
    "less output": ("'''console\n$ echo one\none\ntwo\n'''", PageError, "--- the page says\none\ntwo"),
    "a script that fails in its middle": ("'''bash\nfalse\ntrue\n'''", PageError, "exit status 1"),
    "no command in a console": ("'''console\nout\n'''", PageError, "begins with a command"),
    "no language": ("'''\nx\n'''", PageError, "no block is of language ''"),
    "a language that nobody runs": ("'''ruby\nputs\n'''", PageError, "no block is of language 'ruby'"),
    "no JSON": ("'''json\n{'a': 1}\n'''", PageError, "no valid json"),
    "no TOML": ("'''toml\na = \n'''", PageError, "no valid toml"),
    "an answer that is missing": ("'''http\nGET /\n'''", PageError, "the block has no answer"),
    "a server that ends at once": ("'''console\n$ true &\nlistening\n'''", PageError, "--- the page says\nlistening"),
    "a server that says something else": ("'''console\n$ sh -c 'echo no; exit' &\nyes\n'''", PageError, "no"),
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_a_page_that_is_right_passes(text: str, tmp_path: Path) -> None:
    run(tmp_path, text)


@pytest.mark.parametrize(("text", "kind", "said"), WRONG.values(), ids=WRONG)
def test_a_page_that_is_wrong_is_caught(text: str, kind: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(kind) as failure:
        run(tmp_path, text)
    assert said in str(failure.value)


SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"7"')
        self.end_headers()
        self.wfile.write(b'{"got": %s, "at": 123, "by": "%s"}' % (body, self.headers["By"].encode()))
server = http.server.HTTPServer(("127.0.0.1", int(os.environ["TWOFOLD_HTTP_PORT"])), Handler)
print(f"listening on 127.0.0.1:{server.server_port}")
server.serve_forever()
"""

PAGE_WITH_SERVER = """
'''python title="bin/server.py"
{server}
'''
'''console
$ python bin/server.py &
listening on 127.0.0.1:8000
'''
'''http
POST /commands/Deposit
By: ann

{{"amount": 1}}

HTTP/1.1 {status}
ETag: {etag}

{body}
'''
"""


def page_with_server(*, status: str = "200 OK", etag: str = '"7"', body: str = "") -> str:
    return PAGE_WITH_SERVER.format(server=SERVER, status=status, etag=etag, body=body)


@pytest.mark.parametrize(
    "body",
    [
        "",
        '{"got": {"amount": 1}, "at": 123, "by": "ann"}',
        '{"got": "...", "at": "...", "by": "ann"}',
        '{"by": "ann", "...": "..."}',
        '{"got": ... "ann"}',
    ],
)
def test_a_server_runs_to_the_end_of_its_page_and_answers(body: str, tmp_path: Path) -> None:
    run(tmp_path, page_with_server(body=body))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (page_with_server(status="201 Created"), "the page says status 201, 200 came"),
        (page_with_server(etag='"8"'), 'the page says ETag: "8", "7" came'),
        (page_with_server(body='{"by": "bob", "...": "..."}'), "and this came:"),
        (page_with_server(body='{"by": "ann"}'), "and this came:"),
        (page_with_server(body="[1]"), "and this came:"),
    ],
)
def test_an_answer_other_than_the_pages_is_caught(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(PageError) as failure:
        run(tmp_path, text)
    assert said in str(failure.value)


def test_a_page_leaves_nothing_behind(tmp_path: Path) -> None:
    before = Path.cwd(), list(sys.path), set(sys.modules)
    page = run(tmp_path, RIGHT["a file by its title"])
    assert (Path.cwd(), list(sys.path)) == before[:2]
    assert not [name for name in set(sys.modules) - before[2] if name.startswith(("shop", "page_"))]
    assert page.module.__name__ not in sys.modules


def test_a_server_that_does_not_stop_is_killed_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.runner.STOPPING_TIMEOUT_S", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"
    with pytest.raises(PageError, match="did not stop within"):
        run(tmp_path, f"'''console\n$ python -c \"{deaf}\" &\nup\n'''")


def test_each_port_of_a_page_stands_for_one_free_port(tmp_path: Path) -> None:
    page = run(
        tmp_path,
        """
        '''console
        $ export ONE=localhost:8000
        $ export TWO=localhost:8001
        $ test $ONE != $TWO
        $ test $TWO = localhost:8001
        $ test $ONE = localhost:$TWOFOLD_HTTP_PORT
        '''
        """,
    )
    assert page.port not in (8000, 8001)


POSTGRES = """
    '''console
    $ psql -At postgresql://postgres@localhost:5432/postgres -c 'select 7'
    7
    '''
    """


def test_a_page_that_names_a_postgresql_needs_one(tmp_path: Path) -> None:
    with pytest.raises(PageError, match="was given none"):
        run(tmp_path, POSTGRES)
    assert names_postgres(steps_of(tmp_path / "page.md"))
    run(tmp_path, "nothing but localhost:5432 in words")
    assert not names_postgres(steps_of(tmp_path / "page.md"))


def test_a_page_has_the_postgresql_that_it_was_given(tmp_path: Path, own_postgres: PostgresServer) -> None:
    run(tmp_path, POSTGRES, own_postgres)
