"""Request traces from files: every known form is read, our own is written.

`read_traces` sniffs the content; `docs/inputs.md` describes the forms and the limits.
"""

from optiinfra.adapters.traces.formats import TraceFormat
from optiinfra.adapters.traces.measured import read_measured_requests
from optiinfra.adapters.traces.reading import read_traces
from optiinfra.adapters.traces.writing import write_chunks, write_csv, write_trace

__all__ = [
    "TraceFormat",
    "read_measured_requests",
    "read_traces",
    "write_chunks",
    "write_csv",
    "write_trace",
]
