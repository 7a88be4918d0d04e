# SPDX-License-Identifier: Apache-2.0
"""The event ledger: what happened, in order, on disk, redacted. A record, not a sample."""
