# SPDX-License-Identifier: Apache-2.0
"""What a call becomes: spans, metrics, events. Observers of the engine's calls; neither knows a library."""
