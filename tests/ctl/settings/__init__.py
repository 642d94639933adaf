"""Tests of imd.ctl.settings."""
