# SPDX-License-Identifier: Apache-2.0
"""Builds the environments that the Makefile uses, and rebuilds one only when what it holds would differ.

``python3 scripts/env.py`` makes ``.venv``: the package (editable), every extra, the development tools and the newest
clients. ``python3 scripts/env.py <row> ...`` makes ``.venvs/<row>`` for a row of ``tests/matrix.toml``. Packages are
installed by uv, which ``.venv`` holds, and by pip where uv cannot (an index or a proxy that it does not accept).
Runs on the bare interpreter: standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MAIN = ROOT / ".venv"
NEWEST = "newest"
# pip's setting, uv's variable: a machine whose index is told to pip alone is told to uv as well.
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
}


def rows() -> dict[str, dict[str, Any]]:
    """The rows of the version matrix by name."""
    with (ROOT / "tests" / "matrix.toml").open("rb") as file:
        return {row["name"]: row for row in tomllib.load(file)["row"]}


def python(name: str) -> Path:
    """The interpreter of an environment, whether it exists or not."""
    return (MAIN if name == NEWEST else ROOT / ".venvs" / name) / "bin" / "python"


def ensure(name: str) -> Path:
    """Build the environment of a row unless it is up to date; return its interpreter. Raises CalledProcessError."""
    interpreter = python(name)
    folder = interpreter.parent.parent
    row = rows()[name]
    key, stamp = _key(row), folder / ".built-from"
    if stamp.is_file() and stamp.read_text() == key:
        return interpreter
    print(f"building {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    if name == NEWEST:
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--upgrade", "pip"])
        subprocess.run([*pip, "uv"], check=False, cwd=ROOT)
        what = ["--editable", ".[fast,fastapi,cost,stream,zmq,cli,system,parquet]", "--group", "dev"]
    else:
        _run([str(python(NEWEST)), "-m", "venv", "--without-pip", str(folder)])
        what = ["--editable", ".", "--group", "test"]
    install(interpreter, [*what, *row["requires"]])
    stamp.write_text(key)
    return interpreter


def _key(row: dict[str, Any]) -> str:
    """A digest of all that decides what an environment holds, its own place included: it cannot be moved."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    parts = [
        row["requires"],
        project["build-system"],
        project["project"],
        project["dependency-groups"],
        sys.version,
        str(ROOT),
        Path(__file__).read_text(),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def install(interpreter: Path, what: list[str]) -> None:
    """Install ``what`` into an environment: by uv, else by pip. Raises CalledProcessError."""
    uv = MAIN / "bin" / "uv"
    if uv.is_file():
        command = [str(uv), "pip", "install", "--quiet", "--python", str(interpreter), *what]
        if subprocess.run(command, check=False, cwd=ROOT, env=_uv_environment()).returncode == 0:
            return
        print("uv could not; trying pip", file=sys.stderr, flush=True)
    pip = [str(python(NEWEST)), "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(interpreter)]
    _run([*pip, "install", *what])


def _uv_environment() -> dict[str, str]:
    environment = dict(os.environ)
    # An environment that happens to be active on the caller's shell is none of ours.
    environment.pop("VIRTUAL_ENV", None)
    listing = subprocess.run(
        [str(python(NEWEST)), "-m", "pip", "config", "list"], check=False, capture_output=True, text=True, cwd=ROOT
    ).stdout
    # pip lists its files first and its variables last, in the order in which they win.
    found: dict[str, str] = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        found[name.rpartition(".")[2]] = value.strip("'\"")
    for option, variable in PIP_TO_UV.items():
        value = found.get(option, "")
        # uv refuses a folder or file that is not there, where pip goes on.
        if value and ("://" in value or not value.startswith("/") or Path(value).exists()):
            environment.setdefault(variable, value)
    return environment


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, cwd=ROOT)


def main(names: list[str]) -> int:
    """Build `.venv`, then the rows that are named."""
    try:
        for name in [NEWEST, *names]:
            ensure(name)
    except subprocess.CalledProcessError as error:
        print(f"env: failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
