"""Tests of imd.core.screening."""
