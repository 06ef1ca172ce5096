"""Commands: they translate, they decide nothing."""
