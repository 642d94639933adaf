"""Tests of imd.admin.settings."""
