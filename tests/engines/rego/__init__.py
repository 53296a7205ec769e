"""Tests of the Rego compiler."""
