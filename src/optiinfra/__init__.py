"""OptiInfra: cheaper ways to serve large language models that keep what users were promised."""
