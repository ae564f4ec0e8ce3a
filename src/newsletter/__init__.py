"""Gather posts, publish feeds, compose a digest, deliver it: never silently lost, never silently doubled."""

__version__ = "0.1.0"
