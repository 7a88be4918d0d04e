# SPDX-License-Identifier: Apache-2.0
"""One lock around what redaction loads late, so that nobody forks in the middle of it.

A child forked while another thread imports a module would find it half imported, for good.
"""

from __future__ import annotations

import threading

lock = threading.RLock()
"""Held while rules or RE2 are being loaded. Reentrant: a finaliser may redact meanwhile."""
