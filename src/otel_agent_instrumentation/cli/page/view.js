// SPDX-License-Identifier: Apache-2.0
// How a run is shown. All text goes in by textContent: nothing that an event holds is ever read as markup.
"use strict";

const ROW = 24, SHOWN = 20000, POINTS = 400;

function make(tag, name, said, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (said !== undefined && said !== null) element.textContent = said;
  element.append(...children);
  return element;
}
function drawn(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
function leads(said, item) {
  const button = make("button", "link", said);
  button.type = "button";
  button.addEventListener("click", () => choose(item, true));
  return button;
}

// A list of which only the rows in sight are in the document.
class List {
  constructor(element, role, fill, keys) {
    Object.assign(this, { element, role, fill, items: [], chosen: -1, drawnFrom: -1 });
    this.spacer = element.appendChild(make("div", "spacer"));
    this.body = element.appendChild(make("div"));
    this.body.setAttribute("role", "presentation");
    let due = false;
    element.addEventListener("scroll", () => {
      if (!due) { due = true; requestAnimationFrame(() => { due = false; this.draw(); }); }
    });
    new ResizeObserver(() => this.draw()).observe(element);
    element.addEventListener("keydown", (event) => this.key(event, keys));
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) keys.pick(Number(row.dataset.at), event.target.closest(".twist") !== null);
    });
  }
  set(items, chosen) {
    const end = this.element.scrollTop + this.element.clientHeight >= this.items.length * ROW - 2;
    const grew = this.items.length > 0 && items.length > this.items.length;
    Object.assign(this, { items, chosen });
    this.spacer.style.height = `${items.length * ROW}px`;
    if (end && grew && chosen < 0) this.element.scrollTop = items.length * ROW;
    this.draw();
  }
  draw() {
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - 4);
    const last = Math.min(this.items.length, first + Math.ceil(this.element.clientHeight / ROW) + 8);
    const rows = [];
    for (let at = first; at < last; at += 1) {
      const row = make("div", "row");
      row.id = `${this.element.id}-${at}`;
      row.dataset.at = at;
      row.style.top = `${at * ROW}px`;
      row.setAttribute("role", this.role);
      row.setAttribute("aria-selected", at === this.chosen);
      row.setAttribute("aria-setsize", this.items.length);
      row.setAttribute("aria-posinset", at + 1);
      this.fill(row, this.items[at]);
      rows.push(row);
    }
    this.body.replaceChildren(...rows);
    if (this.chosen >= first && this.chosen < last) this.element.setAttribute("aria-activedescendant", `${this.element.id}-${this.chosen}`);
    else this.element.removeAttribute("aria-activedescendant");
  }
  reveal(at) {
    const { scrollTop, clientHeight } = this.element;
    if (at * ROW < scrollTop) this.element.scrollTop = at * ROW;
    else if ((at + 1) * ROW > scrollTop + clientHeight) this.element.scrollTop = (at + 1) * ROW - clientHeight;
  }
  key(event, keys) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.items.length, End: this.items.length };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves && this.items.length) {
      keys.pick(Math.max(0, Math.min(this.items.length - 1, Math.max(-1, this.chosen) + moves[event.key])), false);
    } else if (!keys[event.key]?.(this.chosen)) return;
    event.preventDefault();
  }
}

const view = { run: null, tab: "tree", closed: new Set(), chosen: null, version: -1, rows: [], logged: 0, found: [], needle: "" };

const tree = new List($("tree"), "treeitem", fillNode, {
  pick(at, twist) { if (twist) toggle(view.rows[at]); else choose(view.rows[at]); },
  ArrowRight(at) { const node = view.rows[at]; if (node && view.closed.has(node.key)) toggle(node); else if (node?.children.length) choose(node.children[0]); return true; },
  ArrowLeft(at) {
    const node = view.rows[at];
    if (node?.children.length && !view.closed.has(node.key)) toggle(node);
    else for (let up = at - 1; up >= 0; up -= 1) if (view.rows[up].depth < node.depth) { choose(view.rows[up]); break; }
    return true;
  },
  Enter: focusDetail,
});
const log = new List($("log"), "option", fillEvent, { pick(at) { choose(view.found[at]); }, Enter: focusDetail });

function focusDetail() { $("detail").focus(); return true; }
function toggle(node) {
  if (!node.children.length) return;
  if (!view.closed.delete(node.key)) view.closed.add(node.key);
  refresh(true);
}

function fillNode(row, node) {
  const kind = node.tool ? "tool" : node.kind;
  row.classList.add(kind, ...(node.error ? ["bad"] : []), ...(node.open ? ["open"] : []));
  row.setAttribute("aria-level", node.depth + 1);
  if (node.children.length) row.setAttribute("aria-expanded", !view.closed.has(node.key));
  const name = make("span", "name");
  name.style.paddingLeft = `${Math.min(node.depth, 24) * 14}px`;
  name.append(make("span", "twist", !node.children.length ? "" : view.closed.has(node.key) ? "▸" : "▾"), plain(node.name));
  name.title = plain(node.name);
  const bound = text(node.attributes["agent.tool.time"]) ? "<" : "";
  const track = make("span", "track"), bar = make("span", "bar");
  const { first, last } = view.run, scale = 100 / Math.max(1e-3, last - first), end = node.open ? last : node.end;
  const left = Math.max(0, Math.min(99.8, (node.start - first) * scale));
  bar.style.left = `${left}%`;
  bar.style.width = `${Math.max(0, Math.min(100 - left, (end - node.start) * scale))}%`;
  track.append(bar);
  const notes = noteOf(node);
  if (notes) {
    const note = make("span", "note", notes), right = left + Math.max(0, (end - node.start) * scale);
    if (right < 60) note.style.left = `${right}%`;
    else if (left > 35) note.style.right = `${100 - left}%`;
    else { note.style.left = `${left}%`; note.classList.add("over"); }
    track.append(note);
  }
  row.append(name, make("span", "num", node.kind === "event" ? "" : bound + duration(end - node.start)),
    make("span", "num", number(node.count("gen_ai.usage.input_tokens"))),
    make("span", "num", number(node.count("gen_ai.usage.output_tokens"))), track);
}

function noteOf(node) {
  if (node.error) return `✗ ${plain(node.error, 80)}`;
  if (node.kind === "event")
    return Object.entries(node.attributes).filter(([key, value]) => key !== "redacted_fields" && ["string", "number"].includes(typeof value) && value !== "")
      .slice(0, 4).map(([key, value]) => `${plain(key, 40)}=${plain(typeof value === "number" ? Number(value.toPrecision(6)) : value, 40)}`).join(" · ");
  const asked = list(node.attributes["agent.tool_calls.names"]).filter((name) => typeof name === "string");
  const parts = asked.length ? [`→ ${asked.map((name) => plain(name, 40)).join(", ")}`] : [];
  const retries = node.count("agent.retry.count");
  if (retries) parts.push(`${retries} retried`);
  return parts.join(" · ");
}

const clock = (ms) => (ms > 0 && ms < 8e15 ? new Date(ms).toISOString().slice(11, 23) : "");
function fillEvent(row, event) {
  if (event.level >= 4) row.classList.add("bad");
  const payload = event.raw.indexOf('"payload":');
  row.append(make("span", "num", clock(event.time)), make("span", "name", plain(event.node?.kind === "event" || !event.node ? event.name : `${event.name} ${event.node.name}`)),
    make("span", "dim", plain(event.raw.slice(payload < 0 ? 0 : payload + 10, payload + 510), 400)));
}

// An event or a node of the tree is chosen: it is marked where it is in sight, and told beside.
function choose(item, show) {
  if (!item) return;
  view.chosen = item;
  if (show && item.raw === undefined) { openAll(item); select("tree"); }
  refresh(true);
  const list = view.tab === "log" ? log : tree;
  if (list.chosen >= 0) list.reveal(list.chosen);
  tell(item);
  if (show) (view.tab === "log" ? $("log") : $("tree")).focus();
}
function openAll(item) {
  if (!view.run.rows(view.closed).includes(item)) view.closed.clear();
}

function tell(item) {
  const event = item.raw !== undefined ? item : item.event, node = item.raw !== undefined ? item.node : item;
  const box = $("detail"), links = make("div", "links"), trace = node?.trace || event?.trace || "", span = node?.span || event?.span || "";
  box.replaceChildren(make("h2", "", plain(node ? node.name : event.name)), links);
  if (config.jaeger && /^[0-9a-f]{32}$/.test(trace)) {
    const link = make("a", "", "in Jaeger");
    link.href = `${config.jaeger}/trace/${trace}${/^[0-9a-f]{16}$/.test(span) ? `?uiFind=${span}` : ""}`;
    Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
    links.append(link);
  }
  if (item.raw !== undefined && node) links.append(leads("in the timeline", node));
  const close = make("button", "link", "close");
  close.addEventListener("click", () => { view.chosen = null; box.hidden = true; document.querySelector("main").classList.remove("split"); refresh(true); });
  links.append(close);
  if (!event) box.append(make("p", "dim", "It has not ended yet, so no event tells of it."));
  else {
    const raw = event.raw, pre = make("pre", "", plainLines(indented(raw.slice(0, SHOWN))));
    box.append(pre);
    if (raw.length > SHOWN) {
      const more = make("button", "", `show the other ${number(raw.length - SHOWN)} characters`);
      more.addEventListener("click", () => { pre.textContent = plainLines(indented(raw)); more.remove(); });
      pre.before(more);
    }
  }
  box.hidden = false;
  document.querySelector("main").classList.add("split");
}

function select(tab) {
  view.tab = tab;
  for (const button of document.querySelectorAll("[role=tab]")) {
    const own = button.id === `tab-${tab}`;
    button.setAttribute("aria-selected", own);
    button.tabIndex = own ? 0 : -1;
    $(button.getAttribute("aria-controls")).hidden = !own;
  }
  refresh(true);
}

function search() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean), level = Number($("level").value);
  const needle = JSON.stringify([words, level]);
  if (needle !== view.needle) Object.assign(view, { needle, logged: 0, found: [] });
  const { events } = view.run, want = words.filter((word) => word[0] !== "-"), not = words.filter((word) => word[0] === "-" && word.length > 1).map((word) => word.slice(1));
  // A piece at a time, so that typing is not held up by a long run.
  for (const until = performance.now() + 40; view.logged < events.length && performance.now() < until;) {
    for (const stop = Math.min(events.length, view.logged + 200); view.logged < stop; view.logged += 1) {
      const event = events[view.logged];
      if (event.level < level) continue;
      event.low ??= want.length || not.length ? event.raw.toLowerCase() : undefined;
      if (want.every((word) => event.low.includes(word)) && !not.some((word) => event.low.includes(word))) view.found.push(event);
    }
  }
  $("matches").textContent = `${number(view.found.length)} of ${number(events.length)}`;
  log.set(view.found, view.chosen?.raw !== undefined ? view.found.indexOf(view.chosen) : -1);
  if (view.logged < events.length) setTimeout(() => refresh(true));
}

function sums(built) {
  const { root, total } = built, outcome = text(root.attributes["agent.run.outcome"]);
  const rows = [["run", built.ended ? outcome || "ended" : "running", outcome === "ok" ? "ok" : outcome ? "bad" : ""],
    ["time", duration(Math.max(0, built.ended ? root.end - root.start : view.run.last - view.run.first))], ["cycles", root.children.filter((node) => node.kind === "cycle").length || ""],
    ["calls", total.calls], ["in", number(total.input)], ["cached", number(total.cached)], ["out", number(total.output)], ["cost", dollars(total.cost)],
    ["failures", built.tools.reduce((sum, tool) => sum + tool.failed.length, total.errors) || "", "bad"],
    ["alerts", view.run.alerts.length || "", "bad"], ["events", number(view.run.events.length)],
    ["unreadable", view.run.unreadable || "", "bad"], ["left out", config.left_out || "", "bad"], ["texts cut at", config.cut || ""]];
  $("sums").replaceChildren(...rows.filter(([, value]) => value !== "").map(([name, value, style]) =>
    make("div", "", null, make("dt", "", name), make("dd", style || "", plain(value)))));
}

let waiting = false;
function refresh(forced) {
  const { run } = view;
  if (!run || (!forced && view.version === run.version)) return;
  view.version = run.version;
  const built = run.build();
  sums(built);
  if (view.tab === "tree") {
    view.rows = run.rows(view.closed);
    const key = view.chosen?.raw === undefined ? view.chosen?.key : undefined;
    tree.set(view.rows, key === undefined ? -1 : view.rows.findIndex((node) => node.key === key));
    $("axis").textContent = run.events.length ? `${clock(run.first)} to ${clock(run.last)} UTC` : "";
  } else if (view.tab === "log") search();
  else if (view.tab === "tools") tools(built);
  else if (view.tab === "plots") plots(built);
  else alerts();
}
// Events come faster than eyes: drawn at most five times a second, and for a fifth of the time.
function soon() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    const begin = performance.now();
    refresh(false);
    setTimeout(() => { waiting = false; if (view.run && view.version !== view.run.version) soon(); }, 4 * (performance.now() - begin));
  }, 200);
}
