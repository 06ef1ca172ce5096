"""Protocols that have two or more implementations."""
