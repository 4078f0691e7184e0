"""Devices as one mesh, and where each array lives on it."""
