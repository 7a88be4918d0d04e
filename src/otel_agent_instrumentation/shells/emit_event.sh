# SPDX-License-Identifier: Apache-2.0
# Record an event in the ledger from any POSIX shell; needs awk, date and dd, and no Python:
#
#   . ./emit_event.sh
#   emit_event health_check status=HEALTHY confidence:=0.786 --session-id s-1
#
# KEY=VALUE is a text; KEY:=VALUE a number, true, false or null. It writes what `otel-agent emit` writes, but knows secrets
# by the names of their keys alone: what may hold one is for `otel-agent emit`. Always returns 0.

emit_event() {
    _emit_event_write "$@" || printf 'otel-agent: the event cannot be written\n' >&2
    return 0
}

_emit_event_write() (
    set +eu
    umask 077
    if [ -z "$1" ]; then
        printf 'otel-agent: which event? emit_event TYPE KEY=VALUE ...\n' >&2
        return 0
    fi
    now=$(date -u '+%Y%m%d %Y-%m-%dT%H:%M:%S %s %N')
    day=${now%% *} rest=${now#* }
    stamp=${rest%% *} rest=${rest#* }
    seconds=${rest%% *} nanos=${rest#* }
    case $nanos in *[!0-9]* | '') nanos=000000000 ;; esac
    agent=${OTEL_AGENT_NAME:-${OTEL_SERVICE_NAME:-shell}}
    told=$(
        LC_ALL=C EMIT_RUN=${OTEL_AGENT_PARENT_RUN-} EMIT_TRACE=${TRACEPARENT-} EMIT_AGENT=$agent EMIT_DAY=$day \
            EMIT_STAMP=$stamp EMIT_SECONDS=$seconds EMIT_NANOS=$nanos EMIT_PID=$$ awk "$_emit_event_awk" "$@"
    ) || return 1
    name=${told%%
*}
    lines=${told#*
}
    file=${OTEL_AGENT_LEDGER_PATH:-${AGI_LEDGER_PATH:-${OTEL_AGENT_LEDGER_DIR:-logs/telemetry}/$name}}
    case $file in */*) mkdir -p "${file%/*}" || return 1 ;; esac
    [ ! -L "$file" ] || return 1
    if [ -s "$file" ]; then
        lines=${lines#*
}
        # A line that a killed process left torn is ended first.
        [ -z "$(tail -c 1 "$file")" ] || lines="
$lines"
    fi
    # One write, so that lines of several processes stay whole.
    printf '%s\n' "$lines" | dd obs=16777216 2>/dev/null >>"$file"
)

# shellcheck disable=SC2016
_emit_event_awk='
function quoted(text,    out, part, i, n, c, o, k, low, high) {
    out = ""; part = ""; n = length(text); i = 1
    while (i <= n) {
        c = substr(text, i, 1); o = ord[c]
        if (o < 128) { part = part ((c in esc) ? esc[c] : c); i++ }
        else {
            k = 0; low = 128; high = 191
            if (o >= 194 && o <= 223) k = 1
            else if (o >= 224 && o <= 239) { k = 2; if (o == 224) low = 160; if (o == 237) high = 159 }
            else if (o >= 240 && o <= 244) { k = 3; if (o == 240) low = 144; if (o == 244) high = 143 }
            if (k && continues(text, i + 1, k, low, high)) { part = part substr(text, i, k + 1); i += k + 1 }
            else { part = part "\\ufffd"; i++ }
        }
        if (length(part) > 1000) { out = out part; part = "" }
    }
    return "\"" out part "\""
}
function continues(text, i, k, low, high,    o) {
    o = ord[substr(text, i, 1)]
    if (o < low || o > high) return 0
    while (--k) { o = ord[substr(text, ++i, 1)]; if (o < 128 || o > 191) return 0 }
    return 1
}
# The JSON value that follows `"key": ` in what the run was told, as it stands there; keys of an object are never found.
function raw(key,    at, i, n, c, deep, inside) {
    at = index(run, (key == "id" ? "{" : ", ") "\"" key "\": ")
    if (!at) return ""
    i = at + length(key) + (key == "id" ? 5 : 6); at = i; n = length(run); deep = 0; inside = 0
    for (; i <= n; i++) {
        c = substr(run, i, 1)
        if (inside) { if (c == "\\") i++; else if (c == "\"") inside = 0 }
        else if (c == "\"") inside = 1
        else if (c == "{" || c == "[") deep++
        else if ((c == "}" || c == "]") && deep) deep--
        else if ((c == "," || c == "}") && !deep) break
    }
    return substr(run, at, i - at)
}
BEGIN {
    for (i = 1; i < 256; i++) ord[sprintf("%c", i)] = i
    for (i = 1; i < 32; i++) esc[sprintf("%c", i)] = sprintf("\\u%04x", i)
    esc["\""] = "\\\""; esc["\\"] = "\\\\"; esc[sprintf("%c", 127)] = sprintf("%c", 127)
    type = ARGV[1]; group = category(type)
    run = ENVIRON["EMIT_RUN"]; id = raw("id"); agent = raw("agent"); cycle = raw("cycle"); tags = raw("tags")
    if (id !~ /^"[^"\\]+"$/ || agent !~ /^"/ || cycle !~ /^[0-9]+$/) { id = ""; cycle = 0; tags = "" }
    if (id == "") {
        id = "\"shell-" ENVIRON["EMIT_DAY"] "\""; agent = quoted(ENVIRON["EMIT_AGENT"])
        name = "shell-" ENVIRON["EMIT_DAY"] ".jsonl"
    } else {
        name = substr(id, 2, length(id) - 2); gsub(/[^A-Za-z0-9._-]/, "_", name); name = name ".0-0.jsonl"
    }
    payload = ""; redacted = ""; severity = ""
    for (i = 2; i < ARGC; i++) {
        word = ARGV[i]
        if (word ~ /^--(task|persona|session)-id(=|$)/) {
            key = substr(word, 3); sub(/-id.*/, "", key)
            given[key] = (word ~ /=/) ? substr(word, index(word, "=") + 1) : ARGV[++i]
            continue
        }
        at = index(word, "=")
        if (at < 2 || substr(word, 1, at - 1) == ":") continue
        key = substr(word, 1, at - 1); value = substr(word, at + 1); plain = 0
        if (key ~ /:$/) {
            key = substr(key, 1, length(key) - 1)
            plain = value ~ /^(-?(0|[1-9][0-9]*)(\.[0-9]+)?|true|false|null)$/ && length(value) < 17
        }
        if (key == "redacted_fields") continue
        if (key == "severity" && !plain) severity = tolower(value)
        told = plain ? value : quoted(value)
        if (!plain && value != "" && tolower(key) ~ secret) {
            told = "\"REDACTED\""
            redacted = redacted (redacted == "" ? "" : ",") quoted("payload." key)
        }
        payload = payload quoted(key) ":" told ","
    }
    if (severity !~ /^(debug|info|warning|warn|error|critical|fatal)$/) severity = (type in grave) ? grave[type] : ""
    beside = ",\"category\":\"" group "\""
    if (severity != "") beside = beside ",\"severity\":\"" severity "\""
    n = split("task persona session", names, " ")
    for (i = 1; i <= n; i++) if (names[i] in given) beside = beside ",\"" names[i] "_id\":" quoted(given[names[i]])
    sub(/^[{]/, "", tags); sub(/[}]$/, "", tags)
    dot = index(type, "."); word = dot ? substr(type, 1, dot - 1) : ""
    source = (word in sources) ? "\"" sources[word] "\"" : agent
    trace = ENVIRON["EMIT_TRACE"]; ids = ""
    if (length(trace) == 55 && trace ~ /^00-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$/ && ENVIRON["EMIT_RUN"] != "")
        ids = ",\"trace_id\":\"" substr(trace, 4, 32) "\",\"span_id\":\"" substr(trace, 37, 16) "\""
    head = "{\"schema_version\":\"1.0\",\"timestamp\":\"" ENVIRON["EMIT_STAMP"] "." substr(ENVIRON["EMIT_NANOS"], 1, 3) "Z\","
    all = "{\"agent\":" agent (tags == "" ? "" : "," tags)
    tail = ",\"time_unix_nano\":" ENVIRON["EMIT_SECONDS"] ENVIRON["EMIT_NANOS"]
    tail = tail ",\"unix\":" ENVIRON["EMIT_SECONDS"] "." substr(ENVIRON["EMIT_NANOS"], 1, 6)
    pid = ",\"pid\":" ENVIRON["EMIT_PID"] "}"
    print name
    print head "\"source\":" agent ",\"run_id\":" id ",\"cycle\":0,\"event\":\"resource\",\"payload\":{\"attributes\":" \
        "{\"service.name\":" agent "},\"redacted_fields\":[]},\"tags\":" all "}" tail pid
    print head "\"source\":" source ",\"run_id\":" id ",\"cycle\":" cycle ",\"event\":" quoted(type) \
        ",\"payload\":{" payload "\"redacted_fields\":[" redacted "]},\"tags\":" all beside "}" tail ids pid
}
function category(type,    i, n, words) {
    secret = "pass(wd|word|phrase)|secret|credential|authorization|cookie|(^|[_.-])token$|api[_-]?key|(private|access)[_-]?key"
    split("plan planner executor executor tool executor review reviewer memory memory optimizer optimizer", words, " ")
    for (i = 1; i < 12; i += 2) sources[words[i]] = words[i + 1]
    grave["task_failed"] = "error"
    grave["alert_triggered"] = grave["threshold_exceeded"] = grave["anomaly_detected"] = "warning"
    n = split(groups(), words, " ")
    for (i = 1; i < n; i += 2) if (words[i + 1] == type) return words[i]
    return "unknown"
}
function groups() {
    return "" \
        "lifecycle task_started lifecycle task_completed lifecycle task_progress lifecycle task_retried " \
        "lifecycle task_cancelled lifecycle thesis_start lifecycle thesis_end lifecycle antithesis_start " \
        "lifecycle antithesis_end lifecycle synthesis_start lifecycle synthesis_end lifecycle eval " \
        "lifecycle rune lifecycle replan lifecycle task_failed evidence evidence_search " \
        "evidence evidence_added evidence evidence_rejected evidence evidence_correction " \
        "evidence rag_retrieval evidence citation_added self_correction second_pass " \
        "self_correction quality_check self_correction confidence_check system system_startup " \
        "system system_shutdown system health_check system performance_metric system chatops_command " \
        "infrastructure migration infrastructure deployment infrastructure rollback " \
        "infrastructure configuration_change infrastructure scale_event learning bqi_pattern_learned " \
        "learning bqi_rule_applied learning binoche_decision learning ensemble_update alert alert_triggered " \
        "alert threshold_exceeded alert anomaly_detected alert alert_resolved session session_start " \
        "session session_end session session_harvest_completed session persona_activated " \
        "session persona_switched run plan.generated run plan.step_started run plan.step_completed " \
        "run review.feedback_generated run review.decision run optimizer.profile_selected " \
        "run optimizer.benchmark_completed run agent.state.entered run agent.state.exited " \
        "run executor.command_started run executor.command_completed run executor.error run artifact.created " \
        "run artifact.modified run artifact.deleted "
}
'
