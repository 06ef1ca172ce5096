"""Tools that know nothing of OptiInfra."""
