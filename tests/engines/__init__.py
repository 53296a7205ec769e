"""Tests of the policy engines, with shared helpers."""
