"""What others send us over HTTP: Prometheus' remote write and OTLP, and our own metrics."""
