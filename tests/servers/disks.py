"""Small file systems in image files, mounted by a loop device (which needs root)."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["make_disk", "mounted", "small_disk"]


def make_disk(image: Path, size_bytes: int, mkfs: Path) -> None:
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run([mkfs, "-q", "-m", "0", image], check=True)


@contextmanager
def mounted(image: Path, folder: Path) -> Generator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def small_disk(image: Path, folder: Path, size_bytes: int, mkfs: Path) -> Generator[Path]:
    """A fresh, empty disk; unmounted at the end."""
    make_disk(image, size_bytes, mkfs)
    with mounted(image, folder):
        yield folder
