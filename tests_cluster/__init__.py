"""Tests on a real Spark cluster of this machine: `make test-cluster`. They have an environment of their own."""
