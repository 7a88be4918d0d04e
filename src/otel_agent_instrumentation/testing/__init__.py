# SPDX-License-Identifier: Apache-2.0
"""What a contributor's tests need: a fake LLM provider, a fake OTLP backend, and recorded traffic with its truth.

Everything here runs over loopback with real sockets and no mocks. This module imports nothing: take `provider`,
`otlp_sink`, `otlp_grpc`, `traffic`, `drive` and `truth` by name, as each needs other packages.
"""
