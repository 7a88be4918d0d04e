# SPDX-License-Identifier: Apache-2.0
"""Wires a process as the launcher does, before its program runs: providers, our processors, the exit coordinator."""

from __future__ import annotations

import wiring

wiring.wire()
