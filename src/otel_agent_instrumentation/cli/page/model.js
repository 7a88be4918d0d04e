// SPDX-License-Identifier: Apache-2.0
// A run from its ledger lines, as they come and in any order. Trusts no line: any value may be missing, of another type,
// or a lie. The rules (what is a call, what counts once) are those of `otel-agent show`.
"use strict";

const $ = (id) => document.getElementById(id);
const config = JSON.parse($("config").textContent);
const CALLS = new Set(config.calls), HIDDEN = new Set([...config.hidden, "log.record"]);
const ALERTS = new Set(["alert_triggered", "threshold_exceeded", "anomaly_detected", "alert_resolved"]);
const RUNNING = "still running";
const LEVELS = { trace: 0, debug: 1, info: 2, notice: 2, information: 2, warn: 3, warning: 3, error: 4, critical: 5,
  emergency: 5, alert: 5, fatal: 5 };
const object = (value) => (value !== null && typeof value === "object" && !Array.isArray(value) ? value : {});
const list = (value) => (Array.isArray(value) ? value : []);
const text = (value) => (typeof value === "string" ? value : "");
const whole = (value) => (Number.isInteger(value) && value >= 0 ? value : null);

// What would change the lines around it, or hide in them, is spelt out; texts go into the page as text alone.
// eslint-disable-next-line no-control-regex
const ODD = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\p{Cs}|[\u{e0000}-\u{e007f}]/gu;
const spelt = (c) => "\\u" + c.codePointAt(0).toString(16).padStart(4, "0");
function plain(value, most = 200) {
  const told = typeof value === "string" ? value : String(value);
  return (told.length > most ? told.slice(0, most) + "…" : told).replace(ODD, spelt);
}
// The same for text of several lines.
const plainLines = (value) => value.split("\n").map((line) => plain(line, Infinity)).join("\n");

class Node {
  constructor(kind, name, start, end) {
    Object.assign(this, { kind, name, start, end, cycle: 0, trace: "", span: "", parent: "", attributes: {},
      error: "", event: null, open: false, children: [], depth: 0, key: "" });
  }
  count(name) { return whole(this.attributes[name]); }
  get tool() {
    return this.attributes["gen_ai.operation.name"] === "execute_tool"
      ? text(this.attributes["gen_ai.tool.name"]) || "unknown" : "";
  }
}

class Run {
  constructor(id) {
    Object.assign(this, { id, spans: new Map(), marks: [], events: [], alerts: [], states: [], agent: "",
      first: Infinity, last: 0, unreadable: 0, version: 0, built: null });
  }

  // One line of the ledger, as JSON text. The text is kept: numbers beyond 2^53 are told by it alone.
  add(raw) {
    let line;
    try { line = object(JSON.parse(raw)); } catch { this.unreadable += 1; return; }
    this.version += 1;
    const payload = object(line.payload), name = text(line.event) || "?";
    const time = typeof line.time_unix_nano === "number" ? line.time_unix_nano / 1e6 : Date.parse(line.timestamp) || 0;
    const event = { raw, time, name, level: this.level(line, payload, name), number: this.events.length, node: null,
      trace: text(payload.trace_id) || text(line.trace_id), span: text(payload.span_id) || text(line.span_id) };
    this.events.push(event);
    this.agent ||= text(object(line.tags).agent);
    if (name === "span.ended") this.addSpan(line, payload, event);
    else this.addMark(line, payload, event);
    const node = event.node;
    if (time > 0 || node) {
      this.first = Math.min(this.first, node ? node.start : time);
      this.last = Math.max(this.last, node ? node.end : time);
    }
  }

  level(line, payload, name) {
    for (const said of [payload.severity, payload.severity_text, payload.level, object(line.tags).severity])
      if (typeof said === "string" && said.toLowerCase() in LEVELS) return LEVELS[said.toLowerCase()];
    if (object(payload.status).code === "ERROR" || /(^|[._])(error|failed|failure)$/.test(name)) return 4;
    return ALERTS.has(name) && name !== "alert_resolved" ? 3 : 2;
  }

  addSpan(line, payload, event) {
    const attributes = object(payload.attributes), status = object(payload.status);
    const end = whole(payload.end_time_unix_nano) === null ? event.time : payload.end_time_unix_nano / 1e6;
    const start = whole(payload.start_time_unix_nano) === null ? end : payload.start_time_unix_nano / 1e6;
    const kind = CALLS.has(attributes["gen_ai.operation.name"]) ? "call" : "span";
    const node = new Node(kind, text(payload.name) || "span", start, Math.max(start, end));
    Object.assign(node, { cycle: whole(line.cycle) || 0, trace: text(payload.trace_id), span: text(payload.span_id),
      parent: text(payload.parent_span_id), attributes, event, foreign: text(object(payload.scope).name) });
    node.error = text(attributes["error.type"]) || (status.code === "ERROR" ? text(status.description) || "error" : "");
    node.key = node.span ? `${node.trace}/${node.span}` : `line ${event.number}`;
    event.node = node;
    if (!this.spans.has(node.key)) this.spans.set(node.key, node);
  }

  addMark(line, payload, event) {
    if (ALERTS.has(event.name) || event.name === "agent.loop.suspected") this.alerts.push({ event, payload });
    if (event.name === "agent.state.entered" || event.name === "agent.state.exited")
      this.states.push({ event, entered: event.name === "agent.state.entered", state: text(payload.state) || "?" });
    if (HIDDEN.has(event.name)) return;
    const node = new Node("event", event.name, event.time, event.time);
    Object.assign(node, { cycle: whole(line.cycle) || 0, trace: text(line.trace_id), parent: text(line.span_id),
      attributes: payload, event, key: `line ${event.number}` });
    if (event.level >= 4) node.error = text(payload.exception) || text(payload.error) || "error";
    event.node = node;
    this.marks.push(node);
  }

  // The tree: a node for every span and event, a stand-in for each span that has not ended yet.
  build() {
    if (this.built?.version === this.version) return this.built;
    const spans = new Map(this.spans), nodes = [...this.spans.values(), ...this.marks];
    for (const node of nodes) node.children = [];
    const tops = [];
    const own = [...this.spans.values()].filter((n) => n.foreign === "otel_agent_instrumentation"
      && n.attributes["gen_ai.operation.name"] === "invoke_agent" && !this.spans.has(`${n.trace}/${n.parent}`));
    const ended = own.length === 1;
    nodes.sort((a, b) => a.start - b.start);
    for (const node of nodes) {
      const parent = node.parent && this.parentOf(node, spans, tops, ended);
      (parent && parent !== node ? parent.children : tops).push(node);
    }
    for (const node of spans.values()) node.children.sort((a, b) => a.start - b.start);
    this.rescue(tops, spans);
    const root = ended ? own[0] : new Node("run", `run ${this.agent || this.id}`, this.first, this.last);
    if (!ended) Object.assign(root, { key: "run", open: true });
    root.kind = "run";
    const below = [...(ended ? root.children : []), ...tops.filter((node) => node !== root)];
    root.children = this.cycles(below.sort((a, b) => a.start - b.start), root);
    this.built = { version: this.version, root, ended, ...this.sums(root) };
    return this.built;
  }

  parentOf(node, spans, tops, ended) {
    const key = `${node.trace}/${node.parent}`;
    let parent = spans.get(key);
    if (!parent && !ended) {
      parent = new Node("span", RUNNING, node.start, this.last);
      Object.assign(parent, { key, cycle: node.cycle, trace: node.trace, span: node.parent, open: true });
      spans.set(key, parent);
      tops.push(parent);
    }
    if (parent?.open) {
      parent.start = Math.min(parent.start, node.start);
      parent.cycle = Math.min(parent.cycle || node.cycle, node.cycle);
      if (node.name === "plan.step_started") parent.name = "agent.step, running";
    }
    return parent;
  }

  // Each is the other's parent: no honest tree has that.
  rescue(tops, spans) {
    const seen = new Set(), reach = (from) => {
      for (const stack = [from]; stack.length;) {
        const node = stack.pop();
        if (!seen.has(node)) { seen.add(node); for (const child of node.children) stack.push(child); }
      }
    };
    tops.forEach(reach);
    for (const node of spans.values()) {
      if (seen.has(node)) continue;
      const parent = spans.get(`${node.trace}/${node.parent}`);
      if (parent) parent.children = parent.children.filter((child) => child !== node);
      tops.push(node);
      reach(node);
    }
  }

  cycles(children, root) {
    // What stands in for a span that runs is no line of its own, unless it is known what it is.
    children = children.flatMap((node) => (node.open && node.name === RUNNING ? node.children : [node]));
    children.sort((a, b) => a.start - b.start);
    const groups = new Map(), found = [];
    for (const child of children) {
      if (!child.cycle) { found.push(child); continue; }
      let group = groups.get(child.cycle);
      if (!group) {
        group = new Node("cycle", `cycle ${child.cycle}`, child.start, child.end);
        Object.assign(group, { cycle: child.cycle, key: `cycle ${child.cycle}`, event: child.event });
        groups.set(child.cycle, group);
        found.push(group);
      }
      group.end = Math.max(group.end, child.end);
      group.children.push(child);
    }
    for (const group of groups.values()) {
      const only = group.children.length === 1 && group.children[0].name === "agent.cycle" ? group.children[0] : null;
      group.open = root.open && group.cycle === Math.max(...groups.keys());
      if (only) Object.assign(group, { children: only.children, error: only.error, event: only.event, trace: only.trace, span: only.span });
    }
    return found;
  }

  sums(root) {
    const total = { calls: 0, input: null, output: null, cached: null, cost: null, errors: 0, spans: 0 };
    const tools = new Map(), points = [], plus = (sum, more) => (more === null ? sum : (sum || 0) + more);
    for (const stack = [[root, false, ""]]; stack.length;) {
      let [node, within, tool] = stack.pop();
      total.spans += node.kind !== "event";
      if (node.kind === "call" && !within) {
        const input = node.count("gen_ai.usage.input_tokens"), output = node.count("gen_ai.usage.output_tokens");
        const cost = node.count("agent.cost.microusd");
        total.calls += 1;
        total.errors += node.error !== "";
        total.input = plus(total.input, input);
        total.output = plus(total.output, output);
        total.cached = plus(total.cached, node.count("gen_ai.usage.cache_read.input_tokens"));
        total.cost = plus(total.cost, cost);
        points.push({ node, time: node.end, input: input || 0, output: output || 0, cost: cost || 0 });
        within = input !== null || output !== null;
      }
      if (node.tool && node.tool !== tool) {
        const row = tools.get(node.tool) || { name: node.tool, runs: [], failed: [] };
        row.runs.push(node);
        if (node.error) row.failed.push(node);
        tools.set(node.tool, row);
        tool = node.tool;
      }
      for (const child of node.children) stack.push([child, within, tool]);
    }
    points.sort((a, b) => a.time - b.time);
    return { total, points, tools: [...tools.values()].sort((a, b) => b.runs.length - a.runs.length) };
  }

  // The rows that are open, a parent before its children.
  rows(closed) {
    const rows = [], { root } = this.build();
    for (const stack = [[root, 0]]; stack.length;) {
      const [node, depth] = stack.pop();
      node.depth = depth;
      rows.push(node);
      if (!closed.has(node.key))
        for (let i = node.children.length - 1; i >= 0; i -= 1) stack.push([node.children[i], depth + 1]);
    }
    return rows;
  }
}

// JSON text with line breaks and blanks; numbers stay as they are written. Not recursive, and never fails.
function indented(raw) {
  let out = "", depth = 0, at = 0;
  const line = () => "\n" + "  ".repeat(Math.min(depth, 40));
  while (at < raw.length) {
    const c = raw[at];
    if (c === '"') {
      let end = at + 1;
      while (end < raw.length && raw[end] !== '"') end += raw[end] === "\\" ? 2 : 1;
      out += raw.slice(at, end + 1);
      at = end;
    } else if (c === "{" || c === "[") {
      const empty = raw[at + 1] === (c === "{" ? "}" : "]");
      depth += 1;
      out += empty ? c : c + line();
      if (empty) { depth -= 1; out += raw[at + 1]; at += 1; }
    } else if (c === "}" || c === "]") {
      depth -= 1;
      out += line() + c;
    } else if (c === ",") out += c + line();
    else if (c === ":") out += ": ";
    else if (c > " ") out += c;
    at += 1;
  }
  return out;
}

const duration = (ms) => (ms < 999.5 ? `${Math.round(ms)} ms` : ms < 60000 ? `${(ms / 1000).toFixed(2)} s`
  : `${Math.floor(ms / 60000)} m ${String(Math.round((ms % 60000) / 1000)).padStart(2, "0")} s`);
const number = (value) => (value === null ? "" : value.toLocaleString("en"));
const dollars = (micro) => (micro === null ? "" : `$${(micro / 1e6).toFixed(micro >= 1e6 ? 2 : 4)}`);
