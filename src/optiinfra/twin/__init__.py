"""The digital twin: step-time model, simulator, workload, spot market, search. Pure."""

TWIN_VERSION = "1"  # part of every evidence digest; raised when an equal input may answer otherwise
