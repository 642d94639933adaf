"""Tests of imd.ctl.backup."""
