"""The cost agent: the cheapest way to keep the promise."""
