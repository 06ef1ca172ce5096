"""Calibration: constants fitted to measured points, how good they are, and where they came from."""
