"""Tests of imd.ops.metrics."""
