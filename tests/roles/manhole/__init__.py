"""Tests of imd.roles.manhole."""
