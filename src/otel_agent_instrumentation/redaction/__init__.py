# SPDX-License-Identifier: Apache-2.0
"""Redaction: one policy, enforced at every way out of the process (architecture, "Redaction: where it is enforced")."""
