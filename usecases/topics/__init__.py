"""Classify lines of conversations by topic: texts, six topics."""
