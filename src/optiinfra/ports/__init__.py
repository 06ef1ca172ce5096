"""Protocols that have two or more implementations, and the values that cross them."""
