"""Nouns, enums, lifecycles and formulas: values in, values out."""
