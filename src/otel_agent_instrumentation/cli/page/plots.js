// SPDX-License-Identifier: Apache-2.0
// Tokens and cost over time, states, tools and alerts.
"use strict";

function put(panel, ...children) {
  const within = $(panel).contains(document.activeElement);
  $(panel).replaceChildren(...children);
  if (within) $(panel).focus();
}

function tools(built) {
  if (!built.tools.length) return put("panel-tools", make("p", "hint", "No tool has run yet."));
  const body = make("tbody");
  for (const { name, runs, failed } of built.tools) {
    const times = runs.map((node) => node.end - node.start).sort((a, b) => a - b);
    const quantile = (part) => times[Math.max(0, Math.ceil(part * times.length) - 1)];
    const slowest = runs.reduce((a, b) => (b.end - b.start > a.end - a.start ? b : a));
    const last = failed.reduce((a, b) => (!a || b.start > a.start ? b : a), null);
    body.append(make("tr", "", null, make("th", "", plain(name)), make("td", "num", runs.length),
      make("td", failed.length ? "num bad" : "num", failed.length || ""), make("td", "num", duration(quantile(0.5))),
      make("td", "num", null, leads(duration(slowest.end - slowest.start), slowest)),
      make("td", "", null, ...(last ? [leads(plain(last.error), last)] : []))));
  }
  const heads = [["tool", ""], ["runs", "num"], ["failed", "num"], ["p50", "num"], ["slowest", "num"], ["last failure", ""]];
  return put("panel-tools", make("table", "", null,
    make("thead", "", null, make("tr", "", null, ...heads.map(([head, name]) => make("th", name, head)))), body));
}

function alerts() {
  const rows = view.run.alerts.map(({ event, payload }) => make("tr", "", null, make("td", "num", clock(event.time)),
    make("td", "", null, leads(plain(event.name), event.node || event)),
    make("td", event.level >= 3 ? "bad" : "", plain(payload.severity ?? payload.level ?? "")),
    make("td", "", plain(payload.message ?? payload.metric ?? payload.reason ?? payload.tool ?? ""))));
  put("panel-alerts", rows.length ? make("table", "", null, make("tbody", "", null, ...rows)) : make("p", "hint", "No alert."));
}

function plots(built) {
  const found = [], { points } = built;
  wide = Math.max(200, $("panel-plots").clientWidth - 26);
  if (points.length) {
    found.push(make("h2", "", "Tokens"), key("input", "in"), " ", key("output", "out"), plot(points, ["input", "output"], number));
    if (points.some((point) => point.cost)) found.push(make("h2", "", "Cost"), key("cost", "US dollars"), plot(points, ["cost"], dollars));
  } else found.push(make("p", "hint", "No model call has ended yet."));
  if (view.run.states.length) found.push(make("h2", "", "States"), strip(), stateTable());
  put("panel-plots", ...found);
}
const key = (name, said) => make("span", `key ${name}`, said);

const HIGH = 180, FOOT = 18, EDGE = 6;
let wide = 1000;
const across = (time) => EDGE + ((time - view.run.first) / Math.max(1e-3, view.run.last - view.run.first)) * (wide - 2 * EDGE);
new ResizeObserver(() => { if (view.tab === "plots") refresh(true); }).observe($("panel-plots"));

// Sums that grow from call to call; each dot leads to its call.
function plot(points, names, shown) {
  const image = drawn("svg", { viewBox: `0 0 ${wide} ${HIGH}`, role: "img" });
  const sums = names.map((name) => { let sum = 0; return points.map((point) => (sum += point[name])); });
  const most = Math.max(1, ...sums.map((line) => line[line.length - 1]));
  const up = (value) => HIGH - FOOT - (value / most) * (HIGH - FOOT - 14);
  const every = Math.ceil(points.length / POINTS), kept = points.map((_, at) => at).filter((at) => at % every === 0 || at === points.length - 1);
  names.forEach((name, which) => {
    let path = `M${EDGE} ${up(0)}`;
    for (const at of kept) path += `H${across(points[at].time).toFixed(1)}V${up(sums[which][at]).toFixed(1)}`;
    image.append(drawn("path", { d: `${path}H${wide}`, class: name }));
    for (const at of kept) {
      const dot = drawn("circle", { cx: across(points[at].time).toFixed(1), cy: up(sums[which][at]).toFixed(1), r: 4, class: name, tabindex: 0, role: "button" });
      dot.append(drawn("title", {}, `${plain(points[at].node.name)}: ${shown(sums[which][at])}`));
      acts(dot, points[at].node);
      image.append(dot);
    }
  });
  image.append(drawn("text", { x: 4, y: 12 }, shown(most)), drawn("text", { x: 4, y: HIGH - 4 }, clock(view.run.first)),
    drawn("text", { x: wide - 4, y: HIGH - 4, "text-anchor": "end" }, clock(view.run.last)));
  image.setAttribute("aria-label", names.map((name, which) => `${name}: ${shown(sums[which].at(-1))}`).join(", "));
  return image;
}
function acts(element, item) {
  element.addEventListener("click", () => choose(item, true));
  element.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(item, true); } });
}

// How long the agent was in which state. A state lasts to its exit, else to the next one, else to the end.
function spells() {
  const found = [], open = new Map();
  for (const { event, entered, state } of [...view.run.states].sort((a, b) => a.event.time - b.event.time)) {
    if (!entered) { const spell = open.get(state); if (spell) { spell.end = event.time; open.delete(state); } continue; }
    const spell = { state, start: event.time, end: view.run.last, event };
    open.set(state, spell);
    found.push(spell);
  }
  return found;
}
const hue = (state) => [...state].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 360, 7);
function strip() {
  const image = drawn("svg", { viewBox: `0 0 ${wide} 44`, class: "strip", role: "group", "aria-label": "States over time" });
  for (const spell of spells().slice(-POINTS)) {
    const from = across(spell.start), box = drawn("rect", { x: from, y: 4, height: 22, width: Math.max(2, across(spell.end) - from), fill: `hsl(${hue(spell.state)} 45% 55%)`, tabindex: 0, role: "button" });
    box.append(drawn("title", {}, `${plain(spell.state)}: ${duration(spell.end - spell.start)}`));
    acts(box, spell.event.node || spell.event);
    image.append(box);
    if (across(spell.end) - from > 60) image.append(drawn("text", { x: from + 4, y: 40 }, plain(spell.state, 24)));
  }
  return image;
}
function stateTable() {
  const states = new Map();
  for (const spell of spells()) {
    const row = states.get(spell.state) || { times: 0, ms: 0, last: spell };
    Object.assign(row, { times: row.times + 1, ms: row.ms + spell.end - spell.start, last: spell });
    states.set(spell.state, row);
  }
  return make("table", "", null, make("tbody", "", null, ...[...states].map(([name, row]) => make("tr", "", null,
    make("td", "", null, leads(plain(name), row.last.event.node || row.last.event)), make("td", "num", `${row.times} times`), make("td", "num", duration(row.ms))))));
}
