"""Tests of imd.business.permission."""
