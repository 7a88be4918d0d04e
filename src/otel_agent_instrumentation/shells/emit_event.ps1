# SPDX-License-Identifier: Apache-2.0
<#
.SYNOPSIS
Record an event in the ledger from PowerShell (5.1 or 7), without Python.
.EXAMPLE
& "$PSScriptRoot\emit_event.ps1" -EventType "health_check" -Payload @{ status = "HEALTHY"; confidence = 0.786 } -SessionId $SessionId
.NOTES
It writes what `otel-agent emit` writes, but knows secrets by the names of their keys alone: what may hold one is for
`otel-agent emit`. Never fails because of the ledger.
#>
param(
    [Parameter(Mandatory = $true)][string]$EventType,
    [System.Collections.IDictionary]$Payload = @{},
    [string]$TaskId = "",
    [string]$PersonaId = "",
    [string]$SessionId = ""
)

$groups = @{
    task_started = "lifecycle"
    task_completed = "lifecycle"
    task_progress = "lifecycle"
    task_retried = "lifecycle"
    task_cancelled = "lifecycle"
    thesis_start = "lifecycle"
    thesis_end = "lifecycle"
    antithesis_start = "lifecycle"
    antithesis_end = "lifecycle"
    synthesis_start = "lifecycle"
    synthesis_end = "lifecycle"
    eval = "lifecycle"
    rune = "lifecycle"
    replan = "lifecycle"
    task_failed = "lifecycle"
    evidence_search = "evidence"
    evidence_added = "evidence"
    evidence_rejected = "evidence"
    evidence_correction = "evidence"
    rag_retrieval = "evidence"
    citation_added = "evidence"
    second_pass = "self_correction"
    quality_check = "self_correction"
    confidence_check = "self_correction"
    system_startup = "system"
    system_shutdown = "system"
    health_check = "system"
    performance_metric = "system"
    chatops_command = "system"
    migration = "infrastructure"
    deployment = "infrastructure"
    rollback = "infrastructure"
    configuration_change = "infrastructure"
    scale_event = "infrastructure"
    bqi_pattern_learned = "learning"
    bqi_rule_applied = "learning"
    binoche_decision = "learning"
    ensemble_update = "learning"
    alert_triggered = "alert"
    threshold_exceeded = "alert"
    anomaly_detected = "alert"
    alert_resolved = "alert"
    session_start = "session"
    session_end = "session"
    session_harvest_completed = "session"
    persona_activated = "session"
    persona_switched = "session"
    "plan.generated" = "run"
    "plan.step_started" = "run"
    "plan.step_completed" = "run"
    "review.feedback_generated" = "run"
    "review.decision" = "run"
    "optimizer.profile_selected" = "run"
    "optimizer.benchmark_completed" = "run"
    "agent.state.entered" = "run"
    "agent.state.exited" = "run"
    "executor.command_started" = "run"
    "executor.command_completed" = "run"
    "executor.error" = "run"
    "artifact.created" = "run"
    "artifact.modified" = "run"
    "artifact.deleted" = "run"
}
$grave = @{ task_failed = "error"; alert_triggered = "warning"; threshold_exceeded = "warning"; anomaly_detected = "warning" }
$severities = "debug", "info", "warning", "warn", "error", "critical", "fatal"
$sources = @{ plan = "planner"; executor = "executor"; tool = "executor"; review = "reviewer"; memory = "memory"; optimizer = "optimizer" }
$secret = "pass(wd|word|phrase)|secret|credential|authorization|cookie|(^|[_.-])token$|api[_-]?key|(private|access)[_-]?key"

function First([string[]]$Values) {
    foreach ($value in $Values) { if ($value) { return $value } }
    return ""
}

try {
    $now = [DateTime]::UtcNow
    $ticks = $now.Ticks - ([DateTime]"1970-01-01").Ticks
    $day = $now.ToString("yyyyMMdd", [Globalization.CultureInfo]::InvariantCulture)
    $agent = First $env:OTEL_AGENT_NAME, $env:OTEL_SERVICE_NAME, "shell"
    $runId = "shell-$day"
    $name = "$runId.jsonl"
    $cycle = 0
    $tags = [ordered]@{}
    if ($env:OTEL_AGENT_PARENT_RUN) {
        $told = $env:OTEL_AGENT_PARENT_RUN | ConvertFrom-Json
        $runId = [string]$told.id
        $agent = [string]$told.agent
        $cycle = [int]$told.cycle
        $name = ($runId -creplace "[^A-Za-z0-9._-]", "_") + ".0-0.jsonl"
        if ($told.tags) { foreach ($tag in $told.tags.PSObject.Properties) { $tags[$tag.Name] = $tag.Value } }
    }
    $all = [ordered]@{ agent = $agent }
    foreach ($key in $tags.Keys) { $all[$key] = $tags[$key] }
    $first = $all | ConvertTo-Json -Compress | ConvertFrom-Json

    $fields = [ordered]@{}
    $redacted = @()
    foreach ($key in $Payload.Keys) {
        if ($key -eq "redacted_fields") { continue }
        $value = $Payload[$key]
        if (($value -is [string]) -and $value -and ("$key" -match $secret)) {
            $value = "REDACTED"
            $redacted += "payload.$key"
        }
        $fields["$key"] = $value
    }
    $fields["redacted_fields"] = @($redacted)

    $severity = "$($Payload['severity'])".ToLowerInvariant()
    if ($severities -cnotcontains $severity) { $severity = $grave[$EventType] }
    $all["category"] = First $groups[$EventType], "unknown"
    if ($severity) { $all["severity"] = $severity }
    if ($TaskId) { $all["task_id"] = $TaskId }
    if ($PersonaId) { $all["persona_id"] = $PersonaId }
    if ($SessionId) { $all["session_id"] = $SessionId }

    $word = ""
    if ($EventType.Contains(".")) { $word = $EventType.Split(".")[0] }
    $line = [ordered]@{
        schema_version = "1.0"
        timestamp = $now.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", [Globalization.CultureInfo]::InvariantCulture)
        source = First $sources[$word], $agent
        run_id = $runId
        cycle = $cycle
        event = $EventType
        payload = $fields
        tags = $all
        time_unix_nano = $ticks * 100
        unix = [Math]::Round($ticks / 1e7, 6)
    }
    if ($env:OTEL_AGENT_PARENT_RUN -and ($env:TRACEPARENT -cmatch "^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")) {
        $line["trace_id"] = $Matches[1]
        $line["span_id"] = $Matches[2]
    }
    $line["pid"] = $PID

    $folder = First $env:OTEL_AGENT_LEDGER_DIR, (Join-Path "logs" "telemetry")
    $path = First $env:OTEL_AGENT_LEDGER_PATH, $env:AGI_LEDGER_PATH, (Join-Path $folder $name)
    $path = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($path)
    [void][System.IO.Directory]::CreateDirectory([System.IO.Path]::GetDirectoryName($path))
    $text = ($line | ConvertTo-Json -Compress -Depth 32) + "`n"
    $stream = [System.IO.FileStream]::new($path, "Append", "Write", "ReadWrite")
    try {
        if ($stream.Length -eq 0) {
            $origin = [ordered]@{}
            foreach ($key in $line.Keys) { if ($key -notin "trace_id", "span_id") { $origin[$key] = $line[$key] } }
            $origin["source"] = $agent
            $origin["cycle"] = 0
            $origin["event"] = "resource"
            $origin["payload"] = [ordered]@{ attributes = @{ "service.name" = $agent }; redacted_fields = @() }
            $origin["tags"] = $first
            $text = ($origin | ConvertTo-Json -Compress -Depth 32) + "`n" + $text
        }
        $bytes = [System.Text.UTF8Encoding]::new($false).GetBytes($text)
        $stream.Write($bytes, 0, $bytes.Length)
    }
    finally { $stream.Dispose() }
}
catch {
    [Console]::Error.WriteLine("otel-agent: the event cannot be written: $($_.Exception.Message)")
}
