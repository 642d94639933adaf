"""Connections: transports, sessions, limits, send queues."""
