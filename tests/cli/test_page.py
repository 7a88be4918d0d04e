# SPDX-License-Identifier: Apache-2.0
"""The live page and the report, in a real browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import browser
from ledger_lines import BEGAN, RUN, RUN_LINES, call, line, root, span, tokens, write
from otel_agent_instrumentation import semconv
from otel_agent_instrumentation.cli import main
from stream_peers import TOKEN, Server
from suite_policy import ROOT

pytestmark = [
    pytest.mark.skipif(not browser.found(), reason="needs: chromium"),
    pytest.mark.timeout(240),
]

HOSTILE = {
    "html": "<img src=x onerror=pwned=1><script>pwned=1</script>",
    "attribute": "\"'><svg onload=pwned=1>",
    "escapes": "\x1b[31mred\x1b]0;title\x07",
    "right to left": "evil\u202etxt.exe",
    "isolates": "\u2066\u2069\u200f",
    "end of data": "</script><script>pwned=1</script><!--",
}
ROWS = "[...document.querySelectorAll('#tree .row')]"
STATUS = "document.getElementById('status').textContent"


@pytest.fixture(scope="module")
def chromium():
    with browser.tab() as tab:
        yield tab


@pytest.fixture
def tab(chromium):
    chromium.faults.clear()
    chromium.send("Network.clearBrowserCookies")
    yield chromium
    chromium.send("Page.navigate", url="about:blank")


@pytest.fixture
def serving(tmp_path):
    servers: list[Server] = []

    def start(port=0):
        servers.append(Server(tmp_path, port, "--jaeger", "http://jaeger.example:16686/"))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


def enter(tab, server):
    tab.open(f"http://127.0.0.1:{server.port}/?token={TOKEN}")


def rows(tab):
    """All rows of the tree, as (depth, name), gathered by scrolling through it."""
    found = tab.js(
        """(async () => {
        const list = document.getElementById('tree'), found = new Map();
        for (let y = 0; ; y += 240) {
            list.scrollTop = y;
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            for (const row of list.querySelectorAll('.row'))
                found.set(Number(row.dataset.at), [Number(row.ariaLevel) - 1, row.querySelector('.name').title]);
            if (y >= list.scrollHeight) break;
        }
        list.scrollTop = 0;
        return [...found].sort((a, b) => a[0] - b[0]).map((one) => one[1]);
        })()"""
    )
    return [tuple(row) for row in found]


def shown(capsys, *arguments):
    capsys.readouterr()
    assert main(["show", "--json", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_whole_run_of_the_demo_live(tab, serving, tmp_path, capsys):
    server = serving()
    enter(tab, server)
    tab.until(f"{STATUS}.startsWith('no run yet')")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OPENAI_"))}
    demo = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "demo.py")],
        env={**environment, "OTEL_AGENT_LEDGER_DIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        tab.until(f"{ROWS}.some((row) => row.textContent.includes('chat gpt-5'))", 60)
        assert tab.js("document.getElementById('sums').textContent").startswith("runrunning")
        # A reload in the middle.
        tab.send("Page.reload")
        tab.until(f"{STATUS} === 'live' && {ROWS}.some((row) => row.textContent.includes('chat gpt-5'))")
        # A lost connection: what is there stays, and what was missed is told.
        server.stop()
        tab.until(f"{STATUS}.includes('connection lost')")
        assert tab.js(f"{ROWS}.length") > 3
        serving(server.port)
        tab.until(f"{STATUS} === 'live'", 60)
        tab.until("document.querySelector('#sums dd').textContent === 'ok'", 60)
        assert demo.wait(60) == 0
    finally:
        demo.kill()
        demo.wait()
    events = sum(file.read_text().count("\n") for file in tmp_path.glob("*.jsonl"))
    tab.until(f"document.getElementById('sums').innerText.replace(/\\s+/g, ' ').includes('events {events}')")
    tree = shown(capsys, tmp_path)
    assert rows(tab) == [(one["depth"], one["name"]) for one in tree["spans"]]
    sums = tab.js("document.getElementById('sums').innerText.replace(/\\s+/g, ' ')")
    told = re.match(
        r"run ok time ([\d.]+) s cycles 3 calls 8 in 7,204 cached 2,048 out 1,403 failures \d+ events", sums
    )
    assert told, sums
    assert float(told[1]) == pytest.approx(tree["duration_ms"] / 1000, abs=0.02)
    failing_tool(tab)
    filtered(tab)
    # The connection that was lost is the one fault that the browser told of.
    assert [fault for fault in tab.faults if "ERR_" not in fault and "WebSocket" not in fault] == []


def failing_tool(tab):
    tab.click("#tab-tools")
    row = "[...document.querySelectorAll('#panel-tools tr')].find((row) => row.textContent.startsWith('check_style'))"
    assert tab.until(f"{row}?.children[2].textContent") == "1"
    tab.js(f"{row}.querySelector('td:last-child button').click()")
    chosen = "document.querySelector('#tree .row[aria-selected=true]')"
    assert "tools/call check_style" in tab.until(f"{chosen}?.textContent")
    assert '"error.type": "tool_error"' in tab.js("document.querySelector('#detail pre').textContent")
    link = tab.js("document.querySelector('#detail a').href")
    trace = tab.js("JSON.parse(document.querySelector('#detail pre').textContent).trace_id")
    assert link.startswith(f"http://jaeger.example:16686/trace/{trace}?uiFind=")


def filtered(tab):
    tab.key("/")
    tab.until("document.activeElement.id === 'filter'")
    tab.type("review.decision -revise")
    tab.until("document.getElementById('matches').textContent.startsWith('1 of ')")
    assert "accept" in tab.js("document.querySelector('#log .row').textContent")
    tab.click("#log .row")
    tab.until("document.querySelector('#detail h2').textContent === 'review.decision'")


def hostile_lines():
    lines = [span(text, 2 + n, 1, at=(n, n + 1), attributes={"note": text}) for n, text in enumerate(HOSTILE.values())]
    lines += [line("alert_triggered", {"message": text, "severity": text}, 20) for text in HOSTILE.values()]
    lines += [line(text, {text: text}, 30) for text in HOSTILE.values()]
    lines += [line(semconv.EVENT_STATE_ENTERED, {"state": text}, 40) for text in HOSTILE.values()]
    told = {semconv.OPERATION_NAME: semconv.EXECUTE_TOOL, semconv.TOOL_NAME: HOSTILE["html"]}
    lines.append(span("tool", 50, 1, attributes=told | {semconv.ERROR_TYPE: HOSTILE["html"]}))
    lines.append(line("long", {"text": "<b>" + "x" * 1_000_000}, 60))
    lines.append(call(60, at=(1, 2), model=HOSTILE["html"], attributes=tokens(1, 2)))
    return [*lines, root(100, HOSTILE["html"])]


def harmless(tab):
    """Every view of the page, after which nothing has run and nothing is markup."""
    for key in "23451":
        tab.key(key)
        tab.js("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert tab.js("document.querySelectorAll('main img, main script, svg [onload]').length") == 0
        assert tab.js("/[\\u001b\\u0007\\u202e\\u2066\\u200f]/.test(document.body.innerText + document.title)") is False
    names = [name for _, name in rows(tab)]
    assert HOSTILE["html"] in names
    assert "evil\\u202etxt.exe" in names
    tab.key("/")
    tab.js("document.getElementById('filter').value = ''")
    tab.type("xxxxxxxxxx")
    tab.until("document.getElementById('matches').textContent.startsWith('1 of ')")
    tab.click("#log .row")
    assert tab.until("document.querySelector('#detail pre')?.textContent.length") < 40_000
    tab.click("#detail > button")
    tab.until("document.querySelector('#detail pre').textContent.length > 1000000")
    assert tab.js("typeof pwned") == "undefined"
    assert tab.faults == []


def test_hostile_text_is_text_in_the_page(tab, serving, tmp_path):
    write(tmp_path / f"{RUN}.jsonl", hostile_lines())
    enter(tab, serving())
    tab.until(f"{STATUS} === 'live' && {ROWS}.length > 5")
    harmless(tab)


def test_hostile_text_is_text_in_the_report(tab, tmp_path, capsys):
    file = write(tmp_path / f"{RUN}.jsonl", hostile_lines())
    page = tmp_path / "report.html"
    assert main(["report", str(file), "-o", str(page)]) == 0
    tab.open(page.as_uri())
    tab.until(f"{ROWS}.length > 5")
    harmless(tab)


def test_the_report_needs_nothing_else(tab, tmp_path, capsys):
    file = write(tmp_path / f"{RUN}.jsonl", RUN_LINES)
    page = tmp_path / "report.html"
    assert main(["report", str(file), "-o", str(page), "--jaeger", "https://jaeger.example"]) == 0
    tab.open(page.as_uri())
    tab.until(f"{ROWS}.length > 5")
    tree = shown(capsys, file)
    assert rows(tab) == [(one["depth"], one["name"]) for one in tree["spans"]]
    assert (
        tab.js("performance.getEntriesByType('resource').map((one) => one.name).filter((n) => !/^data:/.test(n))") == []
    )
    tab.key("2")
    assert tab.until("document.querySelector('svg')?.getAttribute('aria-label')") == "input: 2,075, output: 430"
    tab.js("document.querySelector('circle').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert "chat gpt-5" in tab.until("document.querySelector('#tree .row[aria-selected=true]')?.textContent")
    assert tab.js("document.querySelector('#detail a').href").startswith("https://jaeger.example/trace/" + "a" * 32)
    assert tab.faults == []


def test_by_keyboard(tab, tmp_path, capsys):
    file = write(tmp_path / f"{RUN}.jsonl", RUN_LINES)
    page = tmp_path / "report.html"
    assert main(["report", str(file), "-o", str(page)]) == 0
    tab.open(page.as_uri())
    tab.until("document.activeElement.id === 'tree'")
    chosen = "document.querySelector('#tree .row[aria-selected=true] .name')?.title"
    steps = [
        ("ArrowDown", "invoke_agent coder"),
        ("ArrowDown", "cycle 1"),
        ("ArrowRight", "chat gpt-5"),
        ("ArrowLeft", "cycle 1"),
        ("ArrowLeft", "cycle 1"),  # closes it
        ("ArrowDown", "cycle 2"),
        ("End", "chat gpt-5"),
        ("Home", "invoke_agent coder"),
    ]
    for key, name in steps:
        tab.key(key)
        assert tab.js(chosen) == name, key
    assert tab.js("document.getElementById(document.getElementById('tree').getAttribute('aria-activedescendant'))"
                  ".getAttribute('aria-expanded')") == "true"  # fmt: skip
    tab.key("Enter")
    assert tab.js("document.activeElement.id") == "detail"
    tab.key("Escape")
    assert tab.js("document.getElementById('detail').hidden") is True
    tab.js("document.getElementById('tab-tree').focus()")
    tab.key("ArrowRight")
    assert tab.js("document.activeElement.id") == "tab-plots"
    assert tab.js("document.getElementById('panel-plots').hidden") is False


def test_a_long_run_keeps_few_rows_in_the_document(tab, serving, tmp_path):
    many = [span(f"s{n}", 10 + n, 1, at=(n, n + 1)) for n in range(10_000)]
    write(tmp_path / f"{RUN}.jsonl", [*many, root(10_001)])
    enter(tab, serving())
    tab.until("document.getElementById('sums').innerText.includes('10,001')", 60)
    tab.js("document.getElementById('tree').scrollTop = 24 * 9000")
    tab.until(f"{ROWS}.some((row) => row.textContent.includes('s9000'))")
    assert tab.js(f"{ROWS}.length") < 100
    assert tab.js("document.getElementById('tree').scrollHeight") == 24 * 10_001
    assert tab.faults == []


def test_states_alerts_cost_and_a_run_that_is_chosen(tab, serving, tmp_path):
    priced = tokens(10, 5) | {semconv.COST_MICROUSD: 2_500_000}
    write(
        tmp_path / "old.jsonl",
        [
            {**one, "run_id": "old"}
            for one in [
                line(semconv.EVENT_STATE_ENTERED, {"state": "OBSERVE"}, 0),
                line(semconv.EVENT_STATE_EXITED, {"state": "OBSERVE", "dwell_ms": 50}, 50),
                line(semconv.EVENT_STATE_ENTERED, {"state": "ACT"}, 50),
                line(semconv.EVENT_ALERT, {"message": "too slow", "severity": "warning"}, 60),
                call(2, at=(0, 90), attributes=priced),
                root(100),
            ]
        ],
    )
    later = {"run_id": "new", "time_unix_nano": BEGAN + 10**12}
    write(tmp_path / "new.jsonl", [{**root(100), **later}])
    enter(tab, serving())
    tab.until("document.getElementById('runs').value === 'new'")
    tab.js(
        "(() => { const list = document.getElementById('runs'); list.value = 'old';"
        "list.dispatchEvent(new Event('change')); })()"
    )
    tab.until("document.getElementById('sums').innerText.includes('$2.50')")
    assert tab.js("location.hash") == "#run=old"
    tab.key("2")
    assert tab.until("document.querySelector('.strip rect title')?.textContent") == "OBSERVE: 50 ms"
    assert "$2.50" in tab.js("document.getElementById('panel-plots').textContent")
    tab.key("5")
    tab.until("document.querySelector('#panel-alerts tr')?.textContent.includes('too slow')")
    tab.js("document.querySelector('#panel-alerts button').click()")
    assert "alert_triggered" in tab.until("document.querySelector('#tree .row[aria-selected=true]')?.textContent")
    tab.send("Page.reload")
    tab.until("document.getElementById('sums')?.innerText.includes('$2.50')")
    assert tab.faults == []


def test_dark_and_light_differ(tab, tmp_path, capsys):
    page = tmp_path / "report.html"
    assert main(["report", str(write(tmp_path / "x.jsonl", RUN_LINES)), "-o", str(page)]) == 0
    found = []
    for scheme in ("light", "dark"):
        tab.prefer(scheme)
        tab.open(page.as_uri())
        found.append(tab.js("['backgroundColor', 'color'].map((name) => getComputedStyle(document.body)[name])"))
    tab.prefer("light")
    assert found == [["rgb(252, 252, 251)", "rgb(27, 30, 33)"], ["rgb(22, 24, 27)", "rgb(228, 230, 232)"]]


def test_no_file_of_the_page_names_another_place():
    folder = Path(str(ROOT)) / "src/otel_agent_instrumentation/cli/page"
    for file in folder.iterdir():
        text = file.read_text()
        assert [word for word in ("https://", "@import", "url(", "innerHTML", "eval(") if word in text] == [], file
