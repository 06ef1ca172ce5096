"""Traffic and measured figures of a deployment from Prometheus.

vLLM, SGLang and TGI export histograms of lengths and latencies. `fetch_traffic` draws a synthetic
trace from them, `fetch_measurement` reads means and quantiles. All replicas of the deployment are
summed; what is not there is None, never zero.
"""

from optiinfra.adapters.prometheus_measurement import fetch_measurement
from optiinfra.adapters.prometheus_times import read_instant
from optiinfra.adapters.prometheus_traffic import fetch_traffic

__all__ = ["fetch_measurement", "fetch_traffic", "read_instant"]
