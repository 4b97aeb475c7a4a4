"""Images made here from Debian's packages, since none can be fetched: a base with Python, PostgreSQL, nginx."""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.containers.dockerd import Docker

__all__ = ["Images", "prepared_images"]

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"
PACKAGES = {"python": "python3 python3-venv python3-pip", "servers": "postgresql-15 nginx-light"}
LEFT_OUT = (
    "./var/lib/apt/lists/*",
    "./var/cache/apt/*",
    "./usr/share/doc/*",
    "./usr/share/man/*",
    "./usr/share/locale/*",
)
PLATFORM = (
    *("--only-binary=:all:", "--python-version=3.11", "--implementation=cp"),
    *(f"--abi={each}" for each in ("cp311", "abi3", "none")),
    *(f"--platform=manylinux{each}_{platform.machine()}" for each in ("2014", "_2_17", "_2_28")),
)


@dataclass(frozen=True)
class Images:
    """Names of images that stand for the official ones, and a folder of wheels with all that Twofold needs."""

    base: str
    postgres: str
    nginx: str
    wheels: Path


def prepared_images(docker: Docker, cache: Path) -> Images:
    for name in PACKAGES:
        _import(docker, cache, name)
    postgres = f"twofold-test/postgres:{SUITE}"
    base = f"BASE={_name('servers')}"
    docker("build", "--quiet", "--tag", postgres, "--build-arg", base, Path(__file__).parent / "postgres")
    return Images(base=_name("python"), postgres=postgres, nginx=_name("servers"), wheels=_wheels(cache))


def _name(packages: str) -> str:
    return f"twofold-test/{packages}-base:{SUITE}"


def _import(docker: Docker, cache: Path, name: str) -> None:
    if docker.has_image(_name(name)):
        return
    base = _debian(cache)
    folder = cache / name
    shutil.rmtree(folder, ignore_errors=True)
    _run("cp", "--archive", base, folder)
    _install(folder, PACKAGES[name])
    words = ["tar", "--directory", folder, *(f"--exclude={each}" for each in LEFT_OUT), "--create", "."]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as archive:
        assert archive.stdout is not None
        docker("import", "-", _name(name), timeout_s=600, stdin=archive.stdout.fileno())
    shutil.rmtree(folder)


def _debian(cache: Path) -> Path:
    """A minimal Debian that knows what packages there are, made once."""
    folder, done = cache / SUITE, cache / f"{SUITE}.done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run("debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, folder)
        shutil.copy("/etc/resolv.conf", folder / "etc" / "resolv.conf")
        (folder / "etc" / "dpkg" / "dpkg.cfg.d" / "hasty").write_text("force-unsafe-io\n")
        _in(folder, "apt-get update")
        done.touch()
    return folder


def _install(folder: Path, packages: str) -> None:
    """In the folder, as if it were the machine; nothing is started."""
    policy = folder / "usr" / "sbin" / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    clusters = folder / "etc" / "postgresql-common" / "createcluster.conf"
    clusters.parent.mkdir(exist_ok=True)
    clusters.write_text("create_main_cluster = false\n")
    _in(folder, f"apt-get install --yes --no-install-recommends {packages}")
    policy.unlink()


def _in(folder: Path, line: str) -> None:
    _run("chroot", folder, "env", "--unset=TMPDIR", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", line)


def _wheels(cache: Path) -> Path:
    """Everything that is pinned for Twofold on PostgreSQL, fetched once; and this Twofold, made anew."""
    constraints = "\n".join(_pinned())
    folder = cache / f"wheels-{hashlib.sha256(constraints.encode()).hexdigest()[:12]}"
    done = folder / ".done"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("twofold-*.whl"):
        old.unlink()
    build = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", folder, ROOT)
    _run(sys.executable, "-m", "pip", "wheel", *build)
    if not done.exists():
        (cache / "constraints.txt").write_text(constraints)
        fetch = ("--quiet", "--dest", folder, "--find-links", folder, "--constraint", cache / "constraints.txt")
        _run(sys.executable, "-m", "pip", "download", *fetch, *PLATFORM, "twofold[postgres]")
        done.touch()
    return folder


def _pinned() -> Iterator[str]:
    for line in (ROOT / "requirements" / "dev.txt").read_text().splitlines():
        if found := re.match(r"([\w.\[\],-]+==[^ ;\\]+)", line):
            yield re.sub(r"\[.*\]", "", found[1])


def _run(*words: str | Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
