"""Tests of imd.core.outside."""
