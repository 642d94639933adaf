"""Tests of what im-core does."""
