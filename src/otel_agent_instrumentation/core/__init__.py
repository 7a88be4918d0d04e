# SPDX-License-Identifier: Apache-2.0
"""The engine: patch points, one call lifecycle, observers. Knows the OTel API and no library."""
