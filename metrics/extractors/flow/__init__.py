"""Optical flow and what it says of neighbouring frames."""
