"""Tests against real processes on real sockets."""
