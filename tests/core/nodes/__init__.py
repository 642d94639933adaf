"""Tests of imd.core.nodes."""
