"""The performance model: what a step and a request cost, from physics, anchors and telemetry."""
