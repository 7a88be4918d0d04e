// SPDX-License-Identifier: Apache-2.0
// Where the events come from: the report holds them, the live page is told them by `otel-agent serve`.
"use strict";

const live = { socket: null, position: "", since: 0, wait: 500, runs: [], timer: 0, alive: 0 };

function status(said, bad) {
  $("status").textContent = said;
  $("status").className = bad ? "bad" : "";
}

function follow(id) {
  if (view.run?.id === id) return;
  Object.assign(view, { run: new Run(id), closed: new Set(), chosen: null, needle: "", version: -1 });
  $("detail").hidden = true;
  document.querySelector("main").classList.remove("split");
  $("runs").value = id;
  history.replaceState(null, "", $("follow").checked ? location.pathname : `#run=${encodeURIComponent(id)}`);
  document.title = `${plain(id)} · otel-agent`;
  live.position = "";
  refresh(true);
  connect();
}

function connect() {
  clearTimeout(live.timer);
  if (live.socket) { live.socket.onclose = null; live.socket.close(); }
  // What a glob would read as its own is any character here.
  const query = new URLSearchParams({ run: view.run.id.replace(/[*?[\],\s]/g, "?"), since: live.position || "0" });
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/stream?${query}`), run = view.run;
  live.socket = socket;
  socket.onopen = () => status("reading");
  socket.onmessage = ({ data }) => {
    const at = data.indexOf('"event":'), told = at < 0 ? JSON.parse(data) : null;
    if (told?.lagged) { status(`${told.lagged} events were too many at once: asking for them again`, true); socket.close(); return; }
    if (told) { live.position = told.position; live.wait = 500; status("live"); return; }
    live.position = JSON.parse(`${data.slice(0, data.lastIndexOf(",", at))}}`).position;
    run.add(data.slice(at + 8, -1));
    soon();
  };
  socket.onclose = async () => {
    if (live.socket !== socket) return;
    status(`connection lost, trying again in ${Math.ceil(live.wait / 1000)} s; what is shown stays`, true);
    live.timer = setTimeout(connect, live.wait);
    live.wait = Math.min(10000, live.wait * 2);
  };
}

async function lookForRuns() {
  try {
    const answer = await fetch("runs", { cache: "no-store" });
    if (answer.status === 401) status("the server was started anew: open the address that it printed", true);
    else if (answer.ok) showRuns(await answer.json());
  } catch { if (!view.run) status("the server does not answer, trying again", true); }
  setTimeout(lookForRuns, document.hidden ? 10000 : 1500);
}

function showRuns(runs) {
  const before = JSON.stringify(live.runs);
  live.runs = runs;
  if (before !== JSON.stringify(runs)) {
    const wanted = $("runs").value;
    $("runs").replaceChildren(...runs.map((run) => {
      const option = make("option", "", plain([run.run_id, run.agent, run.outcome].filter(Boolean).join(" · ")));
      option.value = run.run_id;
      return option;
    }));
    $("runs").value = view.run?.id ?? wanted;
  }
  if (!runs.length) status("no run yet: start an agent with `opentelemetry-instrument`");
  const asked = decodeURIComponent((/^#run=(.+)$/.exec(location.hash) || [])[1] || "");
  if (!view.run && asked && runs.some((run) => run.run_id === asked)) { $("follow").checked = false; follow(asked); }
  else if (runs.length && ($("follow").checked || !view.run)) follow((runs.find((run) => run.spans) ?? runs[0]).run_id);
}

async function unpacked(data) {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function begin() {
  for (const button of document.querySelectorAll("[role=tab]")) button.addEventListener("click", () => select(button.id.slice(4)));
  document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
    const tabs = [...document.querySelectorAll("[role=tab]")], at = tabs.indexOf(document.activeElement);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1 }[event.key];
    if (next === undefined || at < 0) return;
    const tab = tabs[(next + tabs.length) % tabs.length];
    tab.click();
    tab.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
    const tab = ["tree", "plots", "tools", "log", "alerts"][Number(event.key) - 1];
    if (tab) { select(tab); (tab === "tree" || tab === "log" ? $(tab) : $(`tab-${tab}`)).focus(); }
    else if (event.key === "/") { select("log"); $("filter").focus(); event.preventDefault(); }
    else if (event.key === "Escape" && !$("detail").hidden) $("detail").querySelector(".links button:last-child").click();
  });
  $("search").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["filter", "level"]) $(id).addEventListener("input", () => refresh(true));
  $("runs").addEventListener("change", () => { $("follow").checked = false; follow($("runs").value); });
  $("follow").addEventListener("change", () => showRuns(live.runs));
  select("tree");
  const data = $("data").textContent.trim();
  if (!data) { status("connecting"); await lookForRuns(); return; }
  $("following").remove();
  $("runs").parentElement.replaceWith(make("span", "", plain(config.run_id)));
  document.title = `${plain(config.run_id)} · otel-agent`;
  status(`report of ${config.made}`);
  view.run = new Run(config.run_id);
  for (const line of (await unpacked(data)).split("\n")) if (line) view.run.add(line);
  refresh(true);
  $("tree").focus();
}
begin();
