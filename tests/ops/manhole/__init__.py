"""Tests of imd.ops.manhole."""
