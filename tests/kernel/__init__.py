"""Tests of imd.kernel."""
