# SPDX-License-Identifier: Apache-2.0
"""Figures, as ratios to a floor taken in the same run: `make bench`."""
