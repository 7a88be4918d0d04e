# SPDX-License-Identifier: Apache-2.0
"""The way out of the process: queues bounded in bytes, one attempt at a time, every loss counted, a bounded exit."""
