# SPDX-License-Identifier: Apache-2.0
"""The metric catalogue: one row a metric. Instruments, views, documentation and tests derive from it."""
