# SPDX-License-Identifier: Apache-2.0
"""The event envelope: schema and codec of one line. Nothing here writes."""
