"""Everything outside: trace files, fleet files, Prometheus, benchmark reports."""
