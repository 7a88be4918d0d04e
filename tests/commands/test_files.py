# SPDX-License-Identifier: Apache-2.0
"""The files that an active run creates, modifies and deletes: told, counted, and nothing installed without a run."""

from __future__ import annotations

import builtins
import inspect
import io
import logging
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest

from otel_agent_instrumentation import run, semconv, suppress
from otel_agent_instrumentation.core import artifacts, patching
from otel_agent_instrumentation.core.engine import engine
from otel_agent_instrumentation.core.patching import Integration, Seam
from otel_agent_instrumentation.integrations import files
from otel_agent_instrumentation.testing.capture import Captured, capture
from otel_agent_instrumentation.testing.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Callable

PLACES: list[tuple[Any, str]] = [
    (builtins, "open"),
    (io, "open"),
    *((os, name) for name in ("open", "rename", "replace", "remove", "unlink")),
]


def told(captured: Captured) -> list[tuple[str, str]]:
    """Kind and path of each change, in order."""
    return [
        (line.event.removeprefix("artifact."), line.payload["path"])
        for line in captured.lines()
        if line.event.startswith("artifact.")
    ]


def counts(captured: Captured) -> tuple[int, ...]:
    (root,) = [span for span in captured.spans() if span.name.startswith("invoke_agent")]
    names = (semconv.ARTIFACTS_CREATED, semconv.ARTIFACTS_MODIFIED, semconv.ARTIFACTS_DELETED)
    return tuple((root.attributes or {}).get(name, 0) for name in names)  # type: ignore[misc]


def create() -> None:
    with open("new", "w") as file:  # noqa: PTH123
        file.write("x")


def create_by_path() -> None:
    Path("new").write_text("x")


def create_exclusively() -> None:
    with Path("new").open("xb") as file:
        file.write(b"x")


def create_by_io() -> None:
    io.open("new", mode="a").close()  # noqa: UP020


def touch() -> None:
    Path("new").touch()


def create_low() -> None:
    os.close(os.open("new", os.O_WRONLY | os.O_CREAT))


def create_below_a_folder() -> None:
    here = os.open(".", os.O_RDONLY)
    try:
        os.close(os.open("new", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    finally:
        os.close(here)


def create_through_an_opener() -> None:
    with open("new", "w", opener=lambda path, flags: os.open(path, flags)):  # noqa: PLW0108
        pass


def copy() -> None:
    shutil.copyfile("old", "new")


def write() -> None:
    Path("old").write_bytes(b"y")


def append() -> None:
    with Path("old").open("a") as file:
        file.write("y")


def update() -> None:
    with Path("old").open("r+") as file:
        file.write("y")


def remove() -> None:
    os.remove("old")  # noqa: PTH107


def unlink() -> None:
    Path("old").unlink()


def remove_tree() -> None:
    shutil.rmtree("folder")


def rename() -> None:
    os.rename("old", "new")  # noqa: PTH104


def move() -> None:
    shutil.move("old", "new")


def replace() -> None:
    Path("old").replace("other")


def save_safely() -> None:
    Path("old.part").write_text("y")
    Path("old.part").replace("old")


def create_and_write_again() -> None:
    create()
    append_new()


def append_new() -> None:
    with Path("new").open("a") as file:
        file.write("x")


def create_and_remove() -> None:
    create()
    Path("new").unlink()


def read() -> None:
    assert Path("old").read_text() == "x"
    with open("old", "rb") as file:  # noqa: PTH123
        assert file.read() == b"x"
    os.close(os.open("old", os.O_RDONLY))


def device() -> None:
    with open(os.devnull, "w") as file:  # noqa: PTH123
        file.write("x")


def folder() -> None:
    Path("made").mkdir()
    Path("made").rename("moved")
    Path("moved").rmdir()


def pipe() -> None:
    reading, writing = os.pipe()
    with open(writing, "w") as file:  # noqa: PTH123
        file.write("x")
    os.close(reading)


def temporary() -> None:
    with tempfile.NamedTemporaryFile(), tempfile.TemporaryFile(), tempfile.TemporaryDirectory():
        pass
    file, name = tempfile.mkstemp()
    os.close(file)
    del name


def compiled() -> None:
    Path("folder/module.py").read_text()
    py_compile.compile("folder/module.py")
    sys.path.insert(0, "folder")
    __import__("module")
    del sys.path[0], sys.modules["module"]


def installed() -> None:
    Path("folder/site-packages/x.py").write_text("x")


def missing() -> None:
    with pytest.raises(FileNotFoundError):
        Path("nowhere/new").write_text("x")
    with pytest.raises(FileNotFoundError):
        os.remove("nowhere")  # noqa: PTH107
    with pytest.raises(FileNotFoundError):
        os.rename("nowhere", "new")  # noqa: PTH104


def wrong() -> None:
    for name in (None, 5.5, "a\0b", object()):
        with pytest.raises((TypeError, ValueError)):
            open(name, "w")  # type: ignore[call-overload] # noqa: PTH123, SIM115
        with pytest.raises((TypeError, ValueError)):
            os.remove(name)  # type: ignore[arg-type] # noqa: PTH107


CASES: list[tuple[Callable[[], None], list[tuple[str, str]], tuple[int, int, int]]] = [
    *((play, [("created", "new")], (1, 0, 0)) for play in (create, create_by_path, create_exclusively, create_by_io)),
    *((play, [("created", "new")], (1, 0, 0)) for play in (touch, create_low, create_below_a_folder, copy)),
    (create_through_an_opener, [("created", "new")], (1, 0, 0)),
    *((play, [("modified", "old")], (0, 1, 0)) for play in (write, append, update)),
    *((play, [("deleted", "old")], (0, 0, 1)) for play in (remove, unlink)),
    (remove_tree, [("deleted", "folder/module.py")], (0, 0, 1)),
    *((play, [("deleted", "old"), ("created", "new")], (1, 0, 1)) for play in (rename, move)),
    (replace, [("deleted", "old"), ("modified", "other")], (0, 1, 1)),
    (save_safely, [("created", "old.part"), ("modified", "old")], (0, 1, 0)),
    (create_and_write_again, [("created", "new")], (1, 0, 0)),
    (create_and_remove, [("created", "new"), ("deleted", "new")], (1, 0, 1)),
    *((play, [], (0, 0, 0)) for play in (read, device, folder, pipe, temporary, compiled, installed, missing, wrong)),
]


@pytest.fixture
def _workspace() -> None:
    Path("old").write_text("x")
    Path("other").write_text("x")
    Path("folder/site-packages").mkdir(parents=True)
    Path("folder/module.py").write_text("x = 1")


@pytest.mark.usefixtures("_workspace")
@pytest.mark.parametrize(("play", "changes", "counted"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_what_a_run_did_to_files(captured, play, changes, counted):
    with run("coder"):
        play()
    found = told(captured)
    if play is remove_tree:  # `site-packages` below it is none of the run's
        found = [change for change in found if "site-packages" not in change[1]]
    assert sorted(found) == sorted(changes)
    assert counts(captured) == counted


def test_an_event_says_where_and_whose(captured):
    with run("coder") as active:
        identity = active.id
        Path("old.part").write_text("y")
        Path("old.part").rename("whole")
        Path("/tmp").joinpath(Path.cwd().name + "-outside").write_text("x")
        Path("/tmp").joinpath(Path.cwd().name + "-outside").unlink()
    lines = [line for line in captured.lines() if line.event.startswith("artifact.")]
    assert [line.payload["path"] for line in lines][:2] == ["old.part", "whole"]
    assert lines[1].payload["moved_from"] == "old.part"
    assert lines[2].payload["path"].startswith("/tmp/")
    (root,) = captured.spans()
    assert {line.run_id for line in lines} == {identity}
    assert root.context is not None
    assert {line.span_id for line in lines} == {f"{root.context.span_id:016x}"}
    logs = [record for record in captured.logs() if record.event_name == "artifact.created"]
    assert logs[0].attributes["path"] == "old.part"
    assert logs[0].attributes[semconv.RUN_ID] == identity


def test_a_secret_in_a_name_is_not_told(captured):
    with run("coder"):
        Path("ghp_" + "a1B2" * 9).write_text("x")
    ((_, path),) = told(captured)
    assert "a1B2a1B2" not in path


def test_a_secret_in_a_long_path_goes_before_the_path_is_cut(captured):
    folder = Path(*["d" * 99] * 10)  # the name below begins at character 1000, and ends beyond what is told
    folder.mkdir(parents=True)
    with run("coder"):
        (folder / ("ghp_" + "a1B2" * 9)).write_text("x")
    ((_, path),) = told(captured)
    assert path == f"{folder}/REDACTED"


def test_one_event_a_path_and_kind_in_each_cycle(captured):
    Path("old").write_text("x")
    with run("coder") as active:
        inner: Any = active._run
        for _ in range(2):
            inner.begin_cycle(after_tool_result=True)
            for _ in range(3):
                Path("old").write_text("y")
                Path("new").write_text("y")
    assert told(captured) == [("modified", "old"), ("created", "new"), ("modified", "old"), ("modified", "new")]
    assert counts(captured) == (1, 1, 0)
    assert [line.cycle for line in captured.lines() if line.event.startswith("artifact.")] == [1, 1, 2, 2]


def test_what_is_remembered_of_a_run_is_bounded(captured, monkeypatch):
    monkeypatch.setattr(artifacts, "MOST_PATHS", 5)
    monkeypatch.setattr(artifacts, "MOST_EVENTS", 3)
    with run("coder"):
        for number in range(9):
            Path(f"file-{number}").write_text("x")
    assert len(told(captured)) == 3
    assert counts(captured) == (5, 0, 0)
    (root,) = captured.spans()
    assert (root.attributes or {})[semconv.ARTIFACTS_UNTRACKED] == 4


def test_a_finaliser_may_touch_files_while_one_is_noted(captured):
    class Kept:
        def __del__(self) -> None:
            Path("last-words").write_text("x")

    with run("coder") as active:
        noted: Any = artifacts.artifacts_of(active._run)  # type: ignore[arg-type]
        with noted._lock:
            Kept()
    assert ("created", "last-words") in told(captured)


# --- installed with the first active run, and taken back -------------------------------------------------------------


def standing() -> list[object]:
    return [vars(owner)[name] for owner, name in PLACES]


def test_nothing_is_installed_before_the_first_run_and_the_very_objects_come_back():
    before = standing()
    with capture():
        assert standing() == before
        assert all(now is then for now, then in zip(standing(), before, strict=True))
        with run("coder"):
            assert not any(now is then for now, then in zip(standing(), before, strict=True))
        assert inspect.signature(open) == inspect.signature(before[0])  # type: ignore[arg-type]
        assert callable(os.open)
        assert {os.open, os.unlink, os.rename} <= os.supports_dir_fd
    assert all(now is then for now, then in zip(standing(), before, strict=True))


@pytest.mark.parametrize(("mode", "count"), [("active", 1), ("explicit", 0), ("off", 0)])
def test_an_unchanged_agent_from_its_first_call_on(mode, count, monkeypatch):
    monkeypatch.setenv("OTEL_AGENT_FILES", mode)
    plain = builtins.open
    with Provider() as provider, capture() as captured:
        client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)
        Path("before").write_text("x")
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
        Path("after").write_text("x")
        client.close()
        assert (builtins.open is plain) is not count
        assert told(captured) == [("created", "after")] * count
        if count:
            (root,) = [span for span in captured.spans(roots=True) if span.name.startswith("invoke_agent")]
            assert (root.attributes or {})[semconv.ARTIFACTS_CREATED] == 1


def test_explicit_waits_for_an_explicit_run(monkeypatch):
    monkeypatch.setenv("OTEL_AGENT_FILES", "explicit")
    with Provider() as provider, capture() as captured:
        client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
        client.close()
        with run("coder"):
            Path("in").write_text("x")
        Path("after").write_text("x")
        assert told(captured) == [("created", "in")]


def test_without_a_run_and_suppressed(captured):
    with run("coder"), suppress():
        Path("hidden").write_text("x")
    Path("after").write_text("x")
    assert told(captured) == []


def test_files_belong_to_the_run_of_their_thread(captured):
    def work(number: int) -> None:
        with run(f"agent-{number}", run_id=f"r-{number}"):
            for turn in range(5):
                Path(f"{number}-{turn}").write_text("x")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line for line in captured.lines() if line.event.startswith("artifact.")]
    assert len(lines) == 40
    assert all(line.run_id == f"r-{line.payload['path'].partition('-')[0]}" for line in lines)


def test_a_logging_handler_and_a_class_that_keep_open_go_on(captured, tmp_path):
    plain = builtins.open
    with run("coder"):

        class Keeper:
            opens = open

        keeper: Any = Keeper()
        keeper.opens("kept", "w").close()
        handler = logging.FileHandler("agent.log")
        handler.emit(logging.LogRecord("x", 20, "x", 1, "hello", None, None))
        handler.close()
    assert [path for _, path in told(captured)] == ["kept", "agent.log"]
    assert builtins.open is not plain or engine.enabled
    assert Path("agent.log").read_text() == "hello\n"


def test_a_command_changes_files_unseen(captured):
    with run("coder"):
        subprocess.run(["touch", "by-command"], check=True)
    assert told(captured) == []


def test_the_methods_that_are_patched_before_3_11(captured):
    """Applied here by hand, and alone: since 3.11 `pathlib` looks its functions up."""
    names = {"open": files._open, "unlink": files._remove, "rename": files._rename}
    seams = tuple(Seam("pathlib", f"Path.{name}", files._path(wrapper)) for name, wrapper in names.items())
    with run("coder"):
        patching.revert("files")
        patching.apply(Integration("older", "", seams))
        try:
            Path("new").write_text("x")
            moved = Path("new").rename("moved")
            moved.unlink()
        finally:
            patching.revert("older")
    assert moved == Path("moved")
    assert told(captured) == [("created", "new"), ("created", "moved"), ("deleted", "moved")]
