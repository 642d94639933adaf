"""Tests of imd.ops.logs."""
