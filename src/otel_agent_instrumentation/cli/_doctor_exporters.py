# SPDX-License-Identifier: Apache-2.0
"""Doctor on where telemetry goes: the exporters of each signal, whether their endpoint answers, the ledger's folder.

Of an endpoint only scheme, host and port are ever shown: vendors put keys into the user part, the path and the query.
"""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from opentelemetry.sdk.trace import TracerProvider

from ..bootstrap.choices import choose
from ..core import contain
from ..pipeline.otlp import make_otlp_exporters
from ._doctor_report import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..bootstrap.choices import Choice, Signal
    from ..config import Settings

_SIGNALS: Final[tuple[Signal, ...]] = ("traces", "logs", "metrics")
_OTLP: Final = {"otlp": None, "otlp_proto_http": "http/protobuf", "otlp_proto_grpc": "grpc"}
_DEFAULT: Final = {"grpc": "http://localhost:4317", "http/protobuf": "http://localhost:4318"}
_PACKAGE: Final = {
    "grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "http/protobuf": "opentelemetry-exporter-otlp-proto-http",
}
_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where an OTLP exporter connects to."""

    scheme: str
    host: str
    port: int
    protocol: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def exporters(settings: Settings) -> Iterator[Finding]:
    """What each signal goes to under the environment's settings, and whether it gets there."""
    addresses: dict[Address, list[str]] = {}
    for signal in _SIGNALS:
        choice = choose(settings, signal)
        yield from _signal(settings, signal, choice)
        for protocol in _protocols(choice):
            address = _address(settings, signal, protocol)
            if address is not None:
                addresses.setdefault(address, []).append(signal)
    for address, signals in addresses.items():
        yield _reached(address, signals)
    sampler = TracerProvider(shutdown_on_exit=False).sampler.get_description()
    if sampler == "AlwaysOffSampler":
        yield Finding(
            "warning",
            "the sampler drops every span before its exporter; ledger and metrics are not affected",
            "unset OTEL_TRACES_SAMPLER, unless this is meant.",
        )


def _protocols(choice: Choice) -> list[str]:
    return list(dict.fromkeys(_OTLP[name] or choice.protocol for name in choice.exporters if name in _OTLP))


def _signal(settings: Settings, signal: Signal, choice: Choice) -> Iterator[Finding]:
    good: list[str] = ["the ledger file"] if choice.ledger else []
    for name in choice.exporters:
        if name in _OTLP:
            protocol = _OTLP[name] or choice.protocol
            fault = _otlp_fault(settings, signal, protocol)
            good += [f"OTLP over {protocol}"] if fault is None else []
        else:
            fault = _other_fault(signal, name)
            good += [name] if fault is None else []
        if fault is not None:
            yield fault
    if good:
        yield Finding("ok", f"{signal}: {', '.join(good)}")
    elif not choice.exporters and getattr(settings, f"{signal}_exporter") is None:
        yield Finding("note", f"{signal}: no exporter. To send them somewhere set OTEL_EXPORTER_OTLP_ENDPOINT")
    elif not choice.exporters:
        yield Finding("note", f"{signal}: no exporter, as OTEL_{signal.upper()}_EXPORTER says")


def _otlp_fault(settings: Settings, signal: Signal, protocol: str) -> Finding | None:
    if protocol not in _DEFAULT:
        # Its value is not shown: whatever stands there is not what belongs there.
        return Finding(
            "problem",
            f"{signal}: OTEL_EXPORTER_OTLP_PROTOCOL (or _{signal.upper()}_PROTOCOL) is no known protocol: no OTLP",
            f"set it to one of: {', '.join(_DEFAULT)}.",
        )
    if protocol != "grpc" and _address(settings, signal, protocol) is None:
        return Finding(
            "problem",
            f"{signal}: the OTLP endpoint is not a URL: no OTLP",
            f"set OTEL_EXPORTER_OTLP_ENDPOINT to a URL such as {_DEFAULT[protocol]}.",
        )
    fault = contain.call(f"doctor.otlp.{signal}", _fault_of_making, protocol, signal, default=_UNKNOWN) or _UNKNOWN
    if fault is _FINE:
        return None
    return Finding("problem", f"{signal}: no exporter for OTLP over {protocol}: {fault[0]}", fault[1])


_FINE: Final = ("", "")
_UNKNOWN: Final = (
    "it cannot be made",
    "check the OTEL_EXPORTER_OTLP_* variables: headers, certificates, compression, timeout.",
)


def _fault_of_making(protocol: str, signal: Signal) -> tuple[str, str]:
    """Make the exporter as start-up would, which reads headers and certificates. Returns why not, and a remedy."""
    try:
        made = make_otlp_exporters(protocol, (signal,))
    except ImportError as error:
        return f"{error.name} cannot be imported", f"`pip install --force-reinstall {_PACKAGE[protocol]}`."
    except ValueError:
        return _UNKNOWN
    for part in (made.spans, made.logs):
        if part is not None:
            part.close()
    if made.metrics is not None:
        made.metrics.shutdown()
    return _FINE


def _other_fault(signal: Signal, name: str) -> Finding | None:
    points = list(entry_points(group=f"opentelemetry_{signal}_exporter", name=name))
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    if not points:
        mend = f"install its package, or correct {variable}. The other exporters are used."
        return Finding("problem", f"{signal}: no installed package has an exporter named `{name}`", mend)
    if contain.call(f"doctor.exporter.{name}", points[0].load) is None:
        mend = f"reinstall its package, or take it out of {variable}."
        return Finding("problem", f"{signal}: the exporter `{name}` cannot be imported", mend)
    return None


def _address(settings: Settings, signal: Signal, protocol: str) -> Address | None:
    endpoint: str = (settings.for_signal(signal, "endpoint") or _DEFAULT.get(protocol, "")).strip()
    if "//" not in endpoint:
        if protocol != "grpc":
            return None  # `requests` wants a scheme
        endpoint = f"//{endpoint}"
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme or "http"
    if not parts.hostname or (protocol != "grpc" and scheme not in {"http", "https"}):
        return None
    # gRPC's own default is 443, whatever the scheme.
    return Address(scheme, parts.hostname, port or (80 if scheme == "http" and protocol != "grpc" else 443), protocol)


def _reached(address: Address, signals: list[str]) -> Finding:
    host, port, way = address.host, address.port, ""
    proxy = _proxy(address)
    if proxy is not None:
        (host, port), way = proxy, " through the proxy of this environment"
    what = f"{address} ({', '.join(signals)}){way}"
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        why = error.strerror or ("no answer within 1 s" if isinstance(error, TimeoutError) else type(error).__name__)
        return Finding(
            "problem",
            f"{what} cannot be reached: {why}",
            "start the collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT; unset it to record to the ledger file alone.",
        )
    return Finding("ok", f"{what} accepts connections")


def _proxy(address: Address) -> tuple[str, int] | None:
    if address.protocol == "grpc" or proxy_bypass(address.host):
        return None
    proxies = getproxies()
    url = proxies.get(address.scheme) or proxies.get("all")
    if not url:
        return None
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        return None
    return (host, port) if host else None


def ledger(settings: Settings) -> Iterator[Finding]:
    """Whether the ledger can be written. Nothing is left behind."""
    if not (choose(settings, "traces").ledger or choose(settings, "logs").ledger):
        yield Finding("note", "off, by OTEL_AGENT_LEDGER or the chosen exporters")
        return
    path = Path(settings.ledger_path or settings.ledger_dir).absolute()
    try:
        (_try_file if settings.ledger_path else _try_folder)(path)
    except OSError as error:
        yield Finding(
            "problem",
            f"{path} cannot be written: {error.strerror or type(error).__name__}",
            "make the folder writable, choose another by OTEL_AGENT_LEDGER_DIR, or set OTEL_AGENT_LEDGER=false.",
        )
        return
    yield Finding("ok", f"{path} can be written" if settings.ledger_path else f"{path}/<run id>.jsonl can be written")


def _try_file(path: Path) -> None:
    if path.exists() or path.is_symlink():
        # As the writer opens it, which follows no link.
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)))
    else:
        _try_folder(path.parent)


def _try_folder(path: Path) -> None:
    if path.is_dir():
        with tempfile.TemporaryFile(dir=path):
            return
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
