# SPDX-License-Identifier: Apache-2.0
"""Monitors: they hear what the agent does, keep what matters of it, and warn. Nothing here changes a call."""
