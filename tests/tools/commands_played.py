# SPDX-License-Identifier: Apache-2.0
"""Commands as agents run them: each play returns or raises something that compares, with and without us."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Through a name without a type: both are called old, and agents call them.
_os: Any = os

if TYPE_CHECKING:
    from collections.abc import Callable

PIPE = subprocess.PIPE
PY = sys.executable
BIG = 20 * 1024 * 1024
ECHO = [PY, "-c", "import sys; sys.stdout.write(sys.stdin.read())"]
KILLED = [PY, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]


@dataclass(frozen=True, slots=True)
class Play:
    """A use of commands, and what its one span says: `error.type`, exit code, bytes of stdout."""

    run: Callable[[], object]
    error: str | None = None
    code: int | None = 0
    size: int | None = None

    def __str__(self) -> str:
        return self.run.__name__


class Sub(subprocess.Popen[bytes]):
    """Somebody's own class."""

    def wait(self, timeout: float | None = None) -> int:
        return super().wait(timeout) + 1000


def run_captured() -> object:
    return subprocess.run(["echo", "hello"], capture_output=True, check=False)


def run_text() -> object:
    return subprocess.run(["echo", "hé"], capture_output=True, text=True, encoding="utf-8", check=True).stdout


def run_nonzero() -> object:
    return subprocess.run(["sh", "-c", "exit 3"], check=False)


def run_checked() -> object:
    return subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=True, capture_output=True)


def run_killed() -> object:
    return subprocess.run(KILLED, check=False)


def run_timeout() -> object:
    return subprocess.run(["sleep", "20"], timeout=0.1, check=False, capture_output=True)


def run_big() -> object:
    done = subprocess.run(["head", "-c", str(BIG), "/dev/zero"], capture_output=True, check=True)
    return len(done.stdout), done.stderr


def run_shell() -> object:
    return subprocess.run("echo $((1 + 2)); exit 0", shell=True, capture_output=True, check=True)  # noqa: S602


def run_input() -> object:
    return subprocess.run(ECHO, input=b"through", capture_output=True, check=True).stdout


def check_output() -> object:
    return subprocess.check_output(["echo", "x"], stderr=subprocess.STDOUT)


def getstatusoutput() -> object:
    return subprocess.getstatusoutput("echo x; exit 2")  # noqa: S605


def os_popen() -> object:
    with _os.popen("echo x") as pipe:
        return pipe.read()


def os_system() -> object:
    return _os.system("exit 0")


def os_system_nonzero() -> object:
    return os.waitstatus_to_exitcode(_os.system("exit 4"))


def os_system_wrong() -> object:
    return _os.system(5)


def communicate_twice() -> object:
    process = subprocess.Popen(["echo", "x"], stdout=PIPE, stderr=PIPE)
    return process.communicate(), process.communicate(), process.returncode


def communicate_twice_one_pipe() -> object:
    process = subprocess.Popen(["echo", "x"], stdout=PIPE)
    first = process.communicate()
    try:
        return first, process.communicate()
    except ValueError as error:
        return first, str(error)


def communicate_again_after_a_timeout() -> object:
    process = subprocess.Popen(["sh", "-c", "sleep 0.3; echo x"], stdout=PIPE, stderr=PIPE)
    try:
        process.communicate(timeout=0.05)
    except subprocess.TimeoutExpired as error:
        return process.communicate(), error.timeout
    return None


def context_manager() -> object:
    with subprocess.Popen(ECHO, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"by hand")
        process.stdin.close()
        text = process.stdout.read()
    return text, process.returncode, type(process.stdout)


def lines_then_wait() -> object:
    process = subprocess.Popen(["printf", "a\\nb\\n"], stdout=PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as lines:
        found = list(lines)
    return found, process.wait(), process.wait(), process.poll()


def poll_loop() -> object:
    process = subprocess.Popen(["sleep", "0.1"])
    while process.poll() is None:
        time.sleep(0.01)
    return process.returncode, repr(process)


def terminated() -> object:
    process = subprocess.Popen(["sleep", "20"])
    process.terminate()
    return process.wait(timeout=20)


def own_class() -> object:
    with Sub(["true"]) as process:
        return type(process), process.wait(), process.returncode


def positional() -> object:
    return subprocess.Popen("exit 5", -1, None, None, None, None, None, True, True).wait()


def iterator() -> object:
    return subprocess.run(iter(["echo", "x"]), capture_output=True, check=True).stdout  # type: ignore[call-overload]


def bytes_and_paths() -> object:
    return subprocess.run([b"echo", Path("x"), "y"], capture_output=True, check=True).stdout


def not_found() -> object:
    return subprocess.run(["no-such-program", "--token", "x"], check=False)


def not_allowed() -> object:
    Path("plain").write_text("x")
    return subprocess.run(["./plain"], check=False)


def no_folder() -> object:
    return subprocess.run(["true"], cwd="nowhere", check=False)


def wrong_arguments() -> object:
    return subprocess.Popen(["echo", 5])  # type: ignore[list-item]


def wrong_option() -> object:
    return subprocess.Popen(["true"], bufsize="big")  # type: ignore[call-overload]


def interrupted() -> object:
    main = threading.get_ident()
    threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
    try:
        subprocess.run(["sleep", "20"], check=False)
    except KeyboardInterrupt as error:
        return type(error)
    return None


SYNC = [
    Play(run_captured, size=6),
    Play(run_text, size=4),
    Play(run_nonzero, "CalledProcessError", 3),
    Play(run_checked, "CalledProcessError", 3, 4),
    Play(run_killed, "CalledProcessError", -9),
    Play(run_timeout, "TimeoutExpired", -9),
    Play(run_big, size=BIG),
    Play(run_shell, size=2),
    Play(run_input, size=7),
    Play(check_output, size=2),
    Play(getstatusoutput, "CalledProcessError", 2, 2),
    Play(os_popen),
    Play(os_system),
    Play(os_system_nonzero, "CalledProcessError", 4),
    Play(os_system_wrong, "TypeError", None),
    Play(communicate_twice, size=2),
    Play(communicate_twice_one_pipe, size=2),
    Play(communicate_again_after_a_timeout, size=2),
    Play(context_manager),
    Play(lines_then_wait),
    Play(poll_loop),
    Play(terminated, "CalledProcessError", -15),
    Play(own_class),
    Play(positional, "CalledProcessError", 5),
    Play(iterator, size=2),
    Play(bytes_and_paths, size=4),
    Play(not_found, "FileNotFoundError", None),
    Play(not_allowed, "PermissionError", None),
    Play(no_folder, "FileNotFoundError", None),
    Play(wrong_arguments, "TypeError", None),
    Play(wrong_option, "TypeError", None),
    Play(interrupted, code=None),  # `run` kills, and waits no more
]


def later_communicate() -> object:
    async def play() -> object:
        process = await asyncio.create_subprocess_exec(*ECHO, stdin=PIPE, stdout=PIPE)
        return await process.communicate(b"later"), process.returncode

    return asyncio.run(play())


def later_shell() -> object:
    async def play() -> object:
        process = await asyncio.create_subprocess_shell("exit 7")
        return await process.wait(), await process.wait()

    return asyncio.run(play())


def later_output_after_the_end() -> object:
    async def play() -> object:
        process = await asyncio.create_subprocess_exec("echo", "x", stdout=PIPE, stderr=PIPE)
        await asyncio.sleep(0.3)
        return await process.communicate()

    return asyncio.run(play())


def later_returncode() -> object:
    async def play() -> object:
        process = await asyncio.create_subprocess_exec("sleep", "0.1")
        while process.returncode is None:  # noqa: ASYNC110 - what agents do
            await asyncio.sleep(0.01)
        return process.returncode

    return asyncio.run(play())


def later_timeout() -> object:
    async def play() -> object:
        process = await asyncio.create_subprocess_exec("sleep", "20", stdout=PIPE)
        try:
            await asyncio.wait_for(process.communicate(), 0.1)
        except TimeoutError as error:
            process.kill()
            return type(error), await process.wait()

    return asyncio.run(play())


def later_cancelled() -> object:
    async def play() -> object:
        process = await asyncio.create_subprocess_exec("sleep", "20")
        task = asyncio.create_task(process.wait())
        await asyncio.sleep(0.05)
        task.cancel()
        (error,) = await asyncio.gather(task, return_exceptions=True)
        process.terminate()
        return type(error), await process.wait()

    return asyncio.run(play())


def later_creation_cancelled() -> object:
    async def play() -> object:
        before = _children()
        task = asyncio.create_task(asyncio.create_subprocess_exec("sleep", "20", stdout=PIPE))
        while _children() == before:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
        task.cancel()
        (error,) = await asyncio.gather(task, return_exceptions=True)
        return type(error)

    return asyncio.run(play())


def _children() -> str:
    return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().strip()


def later_not_found() -> object:
    async def play() -> object:
        return await asyncio.create_subprocess_exec("no-such-program")

    return asyncio.run(play())


def later_own_protocol() -> object:
    class Own(asyncio.SubprocessProtocol):
        def __init__(self) -> None:
            self.done = asyncio.get_running_loop().create_future()
            self.data = b""

        def pipe_data_received(self, fd: int, data: bytes) -> None:
            self.data += data

        def connection_lost(self, exc: Exception | None) -> None:
            self.done.set_result(exc)

    async def play() -> object:
        transport, protocol = await asyncio.get_running_loop().subprocess_exec(Own, "echo", "own")
        await protocol.done
        transport.close()
        return protocol.data, transport.get_returncode()

    return asyncio.run(play())


LATER = [
    Play(later_communicate, size=5),
    Play(later_shell, "CalledProcessError", 7),
    Play(later_output_after_the_end, size=2),
    Play(later_returncode),
    Play(later_timeout, "CancelledError", -9),
    Play(later_cancelled, "CancelledError", -15),
    Play(later_creation_cancelled, "CancelledError", -9),
    Play(later_not_found, "FileNotFoundError", None),
    Play(later_own_protocol),
]


def told(play: Play) -> tuple[str, Any]:
    """What the play gave, in a form that compares."""
    try:
        return "returned", _plain(play.run())
    except Exception as error:  # noqa: BLE001 - to be compared
        timeout = getattr(error, "timeout", None)
        told = {key: value for key, value in vars(error).items() if key not in {"timeout", "__notes__"}}
        return "raised", (
            type(error),
            str(error) if timeout is None else "",
            told,
            error.args if timeout is None else (),
        )


def _plain(value: object) -> object:
    return (type(value), vars(value)) if isinstance(value, subprocess.CompletedProcess) else value
