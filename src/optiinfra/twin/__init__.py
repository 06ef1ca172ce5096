"""The digital twin: step-time model, simulator, workload, search. Pure."""
