"""A Python client of the online service."""
