# SPDX-License-Identifier: Apache-2.0
"""The Grafana dashboards of `collector-config/grafana/dashboards`, made from the catalogue of metrics."""
