"""The shop as a project of its own, deployed as a user does it: pyproject.toml and `twofold deploy`."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.containers.images import Images
from tests.system.cli_process import ROOT, environment

__all__ = ["change_the_event", "deploy", "make_project"]

PYPROJECT = """\
[project]
name = "shop"
version = "{version}"
description = "Sells things"
dependencies = ["twofold"]

[tool.twofold]
app = "examples.shop:app"

[tool.twofold.deploy.images]
base = "{base}"
postgres = "{postgres}"
nginx = "{nginx}"
"""


def make_project(folder: Path, images: Images, *, tag: str) -> Path:
    """The project with its Compose file and the wheels to build from; nothing is built."""
    shop = ROOT / "examples" / "shop"
    shutil.copytree(shop, folder / "examples" / "shop", ignore=shutil.ignore_patterns("tests", "demo", "__pycache__"))
    shutil.copy(ROOT / "examples" / "__init__.py", folder / "examples")
    text = PYPROJECT.format(version=tag, base=images.base, postgres=images.postgres, nginx=images.nginx)
    (folder / "pyproject.toml").write_text(text)
    deploy(folder, "compose", "--tag", tag)
    for wheel in images.wheels.glob("*.whl"):
        shutil.copy(wheel, folder / "deploy" / "wheels")
    return folder


def deploy(folder: Path, *words: str, **variables: str) -> str:
    """`twofold deploy …` in the project's folder."""
    done = subprocess.run(
        [sys.executable, "-m", "twofold", "deploy", *words],
        cwd=folder,
        env={**environment(PYTHONPATH=str(ROOT / "src")), **variables},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f"twofold deploy {words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def change_the_event(folder: Path) -> None:
    """The next version: a sale says where it was made, and every new event of it has a field more."""
    path = folder / "examples" / "shop" / "products.py"
    text = path.read_text()
    event = "class Sold(Event):\n    sku: str\n    customer_id: str\n    price: Decimal\n"
    made = "return Sold(sku=command.sku, customer_id=command.customer_id, price=self.price)"
    assert event in text
    assert made in text
    text = text.replace(event, f'{event}    channel: str = "unknown"\n')
    path.write_text(text.replace(made, f'{made[:-1]}, channel="web")'))
