"""Tests of the business role."""
