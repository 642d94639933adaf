"""Tests of imd.wire."""
