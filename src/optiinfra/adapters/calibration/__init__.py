"""Measured points, measured runs and calibrations as files, and what is made of them."""
