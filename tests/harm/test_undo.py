# SPDX-License-Identifier: Apache-2.0
"""Patching and taking it back (C3, D4, D6): in any order, more than once, beside others who patch the same."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import textwrap
from types import ModuleType, SimpleNamespace
from typing import Any

import openai._base_client as openai_base
import pytest
import wrapt

import harm
from otel_agent_instrumentation import integrations
from otel_agent_instrumentation.bootstrap import install
from otel_agent_instrumentation.core import patching
from otel_agent_instrumentation.core.patching import Integration, Seam
from otel_agent_instrumentation.testing.capture import capture
from otel_agent_instrumentation.testing.provider import Provider

pytestmark = pytest.mark.matrix

CREATE = harm.named("create", clients=["openai"])[0]


@pytest.fixture
def lab():
    with harm.Lab() as lab:
        yield lab


def places(client: str) -> dict[str, tuple[Any, str]]:
    """Class or module, and name, of every seam whose module can be imported."""
    integration = integrations.load(client)
    assert integration is not None
    found: dict[str, tuple[Any, str]] = {}
    for seam in integration.seams:
        try:
            parent: Any = importlib.import_module(seam.module)
        except ImportError:
            continue
        *path, name = seam.attribute.split(".")
        for step in path:
            parent = getattr(parent, step, None)
        if parent is not None:
            found[f"{seam.module}.{seam.attribute}"] = parent, name
    return found


ABSENT = object()


def standing(client: str) -> dict[str, object]:
    """What stands at each seam itself: not what it inherits."""
    return {key: vars(parent).get(name, ABSENT) for key, (parent, name) in places(client).items()}


@pytest.mark.parametrize("client", [*harm.CLIENTS, "threads"])
def test_uninstrument_puts_back_the_very_objects(client):
    before = standing(client)
    with capture():
        changed = {key for key, there in standing(client).items() if there is not before[key]}
        assert changed == {name for name in patching.patched() if name in before}
        assert changed
    after = standing(client)
    assert all(after[key] is before[key] for key in before)


def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    return wrapped(*args, **kwargs)


def test_an_inherited_method_is_inherited_again(monkeypatch):
    class Base:
        def request(self) -> str:
            return "base"

    class Client(Base):
        pass

    class Other(Base):
        pass

    module = ModuleType("harm_made_up")
    vars(module).update(Client=Client, Base=Base, Other=Other)
    monkeypatch.setitem(sys.modules, "harm_made_up", module)
    one = Integration("made-up", "", (Seam("harm_made_up", "Client.request", wrapper),))
    patching.apply(one)
    try:
        assert "request" in vars(Client)
        assert "request" not in vars(Other)
        assert Client().request() == "base"
    finally:
        patching.revert("made-up")
    assert "request" not in vars(Client)
    assert Client.request is Base.request


def test_a_class_and_its_base_are_wrapped_once(monkeypatch):
    seen: list[str] = []

    class Base:
        def request(self) -> None: ...

    class Client(Base):
        pass

    def count(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append("called")
        return wrapped(*args, **kwargs)

    monkeypatch.setitem(sys.modules, "harm_made_up", SimpleNamespace(Base=Base, Client=Client, __name__="harm_made_up"))
    seams = tuple(Seam("harm_made_up", name, count) for name in ("Base.request", "Client.request"))
    original = Base.request
    patching.apply(Integration("made-up", "", seams))
    try:
        Client().request()
        assert seen == ["called"]
        assert len([state for name, _, state in patching.states() if name == "made-up" and state == "patched"]) == 2
    finally:
        patching.revert("made-up")
    assert Base.request is original
    assert "request" not in vars(Client)


def test_twice_is_once(lab):
    before = standing("openai")
    plain = lab.run(CREATE)
    with capture() as captured:
        first = standing("openai")
        install.instrument()
        install.instrument()
        assert standing("openai") == first
        assert lab.run(CREATE) == plain
        assert len(captured.calls()) == 1
        install.uninstrument()
        install.uninstrument()
        assert standing("openai") == before
        assert lab.run(CREATE) == plain
        assert len(captured.calls()) == 1
    assert standing("openai") == before
    with capture() as captured:
        assert lab.run(CREATE) == plain
        assert len(captured.calls()) == 1


@pytest.mark.logs
def test_another_library_that_patches_over_us_goes_on_and_nothing_is_told_twice(lab):
    plain = lab.run(CREATE)
    theirs: list[str] = []
    cls, original = openai_base.SyncAPIClient, vars(openai_base.SyncAPIClient)["request"]

    def note(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        theirs.append("called")
        return wrapped(*args, **kwargs)

    try:
        with capture() as captured:
            ours = vars(cls)["request"]
            over = wrapt.FunctionWrapper(ours, note)
            cls.request = over  # type: ignore[method-assign]
            assert lab.run(CREATE) == plain
            assert (len(captured.calls()), len(theirs)) == (1, 1)
        assert vars(cls)["request"] is over
        assert lab.run(CREATE) == plain
        assert len(theirs) == 2
        with capture() as captured:
            assert lab.run(CREATE) == plain
            assert (len(captured.calls()), len(theirs)) == (1, 3)
        assert vars(cls)["request"] is over
        # They leave as they came: what was there when they patched, which is ours, and quiet.
        cls.request = ours  # type: ignore[method-assign]
        assert lab.run(CREATE) == plain
        with capture() as captured:
            assert lab.run(CREATE) == plain
            assert len(captured.calls()) == 1
    finally:
        cls.request = original  # type: ignore[method-assign]


# --- the order of imports, in processes of their own ----------------------------------------------------------------

ASK = """
    client = openai.OpenAI(base_url=URL, api_key="k", max_retries=0)
    told["id"] = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}]).id
"""


def run(script: str, url: str, tmp_path: Any, **environment: str) -> dict[str, Any]:
    """Run a script in a process of its own; it fills `told`."""
    head = f"""
        import json, sys
        URL, told = {url!r}, {{}}
        def spans():
            from otel_agent_instrumentation.bootstrap import install
            install.close_open()
            import otel_agent_instrumentation
            otel_agent_instrumentation.flush()
            from pathlib import Path
            lines = [json.loads(l) for f in Path("logs/telemetry").glob("*.jsonl") for l in f.read_text().splitlines()]
            return [line["payload"]["name"] for line in lines if line["event"] == "span.ended"]
    """
    code = "\n".join(textwrap.dedent(part) for part in (head, script, "print(json.dumps(told))"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "stderr": done.stderr}


@pytest.fixture
def url():
    with Provider() as provider:
        yield f"{provider.url}/v1"


INSTRUMENT = "import otel_agent_instrumentation as ours; ours.instrument()"


@pytest.mark.parametrize(
    "order",
    [
        f"import openai\n{INSTRUMENT}",
        f"{INSTRUMENT}\nimport openai",
        f"{INSTRUMENT}\nfrom openai import *\nimport openai",
    ],
)
def test_before_or_after_the_clients_import(order, url, tmp_path):
    told = run(f"{order}\n{textwrap.dedent(ASK)}\ntold['spans'] = spans()", url, tmp_path)
    assert told["id"] == "chatcmpl-1"
    assert sorted(told["spans"]) == ["chat m", "invoke_agent agent"]


def test_uninstrument_before_the_clients_import(url, tmp_path):
    script = f"{INSTRUMENT}\nours.uninstrument()\nimport openai\n{textwrap.dedent(ASK)}\ntold['spans'] = spans()"
    told = run(script, url, tmp_path)
    assert told["id"] == "chatcmpl-1"
    assert told["spans"] == []


def test_instrument_again_before_the_clients_import(url, tmp_path):
    again = f"{INSTRUMENT}\nours.uninstrument()\nours.instrument()\nimport openai"
    told = run(f"{again}\n{textwrap.dedent(ASK)}\ntold['spans'] = spans()", url, tmp_path)
    assert sorted(told["spans"]) == ["chat m", "invoke_agent agent"]


IMPORT = """
    try:
        import openai
    except BaseException as error:
        import traceback
        told["error"] = [type(error).__name__, str(error)]
        files = [f.filename for f in traceback.extract_tb(error.__traceback__)]
        told["last"] = files[-1]
    told["modules"] = sorted(m for m in sys.modules if m.partition(".")[0] == "openai")
"""


@pytest.mark.parametrize("fault", ["missing", "forbidden", "raises", "half", "empty"])
def test_a_client_that_is_missing_or_broken_fails_as_it_does_without_us(fault, url, tmp_path):
    package = tmp_path / "fake" / "openai"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        {"raises": "raise RuntimeError('boom')", "half": "from . import _base_client"}.get(fault, "")
    )
    if fault == "half":
        (package / "_base_client.py").write_text("class SyncAPIClient:\n    def request(self): ...\n1 / 0\n")
    ban = {"missing": "sys.meta_path.insert(0, Ban())", "forbidden": "sys.modules['openai'] = None"}.get(fault, "")
    setup = f"""
class Ban:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "openai":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
{ban}
"""
    environment = {"PYTHONPATH": str(tmp_path / "fake")}
    plain = run(f"{setup}\n{textwrap.dedent(IMPORT)}", url, tmp_path, **environment)
    other = """
from anthropic import Anthropic
client = Anthropic(base_url=URL[:-3], api_key="k")
client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}])
told["spans"] = spans()
"""
    during = run(f"{setup}\n{INSTRUMENT}\n{textwrap.dedent(IMPORT)}\n{other}", url, tmp_path, **environment)
    assert {key: during.get(key) for key in plain if key != "stderr"} == {
        key: found for key, found in plain.items() if key != "stderr"
    }
    assert ("error" in plain) is (fault != "empty")
    # The other clients are not touched by it.
    assert sorted(during["spans"]) == ["chat m", "invoke_agent agent"]
    assert "internal fault" not in during["stderr"]
    assert "Traceback" not in during["stderr"]


def test_a_client_that_imports_at_the_second_try(url, tmp_path):
    """The first import failed under our hook; the one that succeeds is patched."""
    script = f"""
{INSTRUMENT}
class Ban:
    def find_spec(self, name, path=None, target=None):
        if name == "openai._base_client":
            raise ImportError("not yet")
sys.meta_path.insert(0, Ban())
try:
    import openai
except ImportError as error:
    told["first"] = str(error)
del sys.meta_path[0]
for name in [name for name in sys.modules if name.partition(".")[0] == "openai"]:
    del sys.modules[name]
import openai
{textwrap.dedent(ASK)}
told["spans"] = spans()
"""
    told = run(script, url, tmp_path)
    assert told["first"] == "not yet"
    assert sorted(told["spans"]) == ["chat m", "invoke_agent agent"]


def _through(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    return wrapped(*args, **kwargs)


def test_a_name_imported_from_a_patched_module_is_undone_as_well() -> None:
    first, second = ModuleType("undo_first"), ModuleType("undo_second")
    vars(first)["work"] = original = len
    seams = [Seam(name, "work", _through) for name in ("undo_first", "undo_second")]
    sys.modules["undo_first"] = first
    try:
        patching.apply(Integration("undo", "", tuple(seams)))
        vars(second)["work"] = vars(first)["work"]  # imported by name
        sys.modules["undo_second"] = second
        patching.on_import(second)
        assert vars(second)["work"] is not original
        patching.revert("undo")
        assert vars(first)["work"] is original
        assert vars(second)["work"] is original
    finally:
        patching.revert("undo")
        del sys.modules["undo_first"], sys.modules["undo_second"]
