# SPDX-License-Identifier: Apache-2.0
"""Commands that an active run starts: `subprocess`, `asyncio`'s subprocesses and `os.system`.

Everything of the standard library that starts a program goes through `Popen.__init__`, also asyncio's transports. The
end is seen where the caller learns it: `poll`, `wait`, `communicate` (and so `run`, `check_output`, `with`), and their
counterparts of asyncio. Read in the source of 3.11; the seams are older and are there in 3.14.
"""

from __future__ import annotations

from ..core.patching import Integration, Seam
from . import _popen, _popen_later

_ENDS = "the ends of commands"
_TRANSPORT = "asyncio.base_subprocess"
_PROCESS = "asyncio.subprocess"

INTEGRATION = Integration(
    name="commands",
    distribution="",
    seams=(
        Seam("subprocess", "Popen.__init__", _popen.start, "commands"),
        Seam("subprocess", "Popen.poll", _popen.poll, _ENDS),
        Seam("subprocess", "Popen.wait", _popen.wait, _ENDS),
        Seam("subprocess", "Popen.communicate", _popen.wait, _ENDS),
        Seam("subprocess", "Popen.__exit__", _popen.wait, _ENDS),
        Seam(_TRANSPORT, "BaseSubprocessTransport.__init__", _popen_later.own, _ENDS),
        Seam(_TRANSPORT, "BaseSubprocessTransport.close", _popen_later.close, _ENDS),
        Seam(_TRANSPORT, "BaseSubprocessTransport.get_returncode", _popen_later.returncode, _ENDS),
        Seam(_TRANSPORT, "BaseSubprocessTransport._process_exited", _popen_later.exited, _ENDS),
        Seam(_PROCESS, "Process.wait", _popen_later.wait_later, _ENDS),
        Seam(_PROCESS, "Process.communicate", _popen_later.wait_later, _ENDS),
        Seam("os", "system", _popen.system, "commands of `os.system`"),
    ),
)
