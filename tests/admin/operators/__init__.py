"""Tests of imd.admin.operators."""
