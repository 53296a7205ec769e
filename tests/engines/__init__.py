"""Tests of the engines, and what they share."""
