"""Suites of asv, which follow the speed of parts from commit to commit."""
