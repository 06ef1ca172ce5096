"""Samples a CPU-second from a 1 MB page as vLLM writes it, beside prometheus_client.

    python -m benchmarks.metrics_parser [--runs 5]

Warm: the same series as in the page before, every value another. Looked up: the same, but the page
before had other lines between, so that each line is looked up by itself. Cold: a parser that has
seen nothing. OpenMetrics: the same page in that form, warm. Medians over the runs. The bars are
400,000 warm and 100,000 cold on a machine where prometheus_client reads 44,000 to 47,000, that is
8.5 and 2.1 times as fast; the ratios are what counts on a machine that others use too.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.vllm_page import make_vllm_page
from optiinfra.adapters.collectors.page import PageForm
from optiinfra.adapters.collectors.page_parser import PageParser

NUM_SAMPLES = 8_850
BAR_WARM, BAR_COLD = 400_000, 100_000
REFERENCE = 47_000


def measure(runs: list[Callable[[], int]]) -> float:
    """Median samples a CPU-second over the runs."""
    rates = []
    for run in runs:
        begun_s = time.process_time()
        num_samples = run()
        rates.append(num_samples / (time.process_time() - begun_s))
    return statistics.median(rates)


def read(parser: PageParser, page: bytes, form: PageForm = PageForm.TEXT) -> int:
    """Samples of the page, read."""
    return int(parser.parse(page, form).value.size)


def main() -> int:
    """Print the rates; 1 where a ratio is below its bar."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--runs", type=int, default=5)
    runs = range(arguments.parse_args().runs)
    pages = [make_vllm_page(NUM_SAMPLES, seed) for seed in range(len(runs) + 1)]
    after, fresh = pages[1:], [PageParser() for _ in runs]
    warm, looked_up, opened = PageParser(), PageParser(), PageParser()
    read(warm, pages[0])
    read(looked_up, pages[0])
    forms = [page.replace(b"_total counter", b" counter") for page in pages]
    forms = [page.replace(b"_total What", b" What") + b"# EOF\n" for page in forms]
    read(opened, forms[0], PageForm.OPENMETRICS)

    def read_other(page: bytes, number: int) -> int:
        return read(looked_up, b"# %d\n" % number + page)

    rates = {
        "prometheus_client": measure(
            [
                lambda page=page: sum(  # type: ignore[misc]
                    len(f.samples) for f in text_string_to_metric_families(page.decode())
                )
                for page in after
            ]
        ),
        "cold": measure([lambda i=i: read(fresh[i], after[i]) for i in runs]),  # type: ignore[misc]
        "looked up": measure([lambda i=i: read_other(after[i], i) for i in runs]),  # type: ignore[misc]
        "warm": measure([lambda i=i: read(warm, after[i]) for i in runs]),  # type: ignore[misc]
        "OpenMetrics": measure(
            [lambda i=i: read(opened, forms[i + 1], PageForm.OPENMETRICS) for i in runs]  # type: ignore[misc]
        ),
    }
    print(f"page: {len(pages[0]):,} bytes, {read(PageParser(), pages[0]):,} samples")
    base = rates["prometheus_client"]
    for name, rate in rates.items():
        print(f"{name:18} {rate:12,.0f} samples/CPU-s  {rate / base:6.1f} x prometheus_client")
    is_enough = (
        rates["warm"] / base >= BAR_WARM / REFERENCE
        and rates["cold"] / base >= BAR_COLD / REFERENCE
    )
    print("bars (warm 8.5 x, cold 2.1 x):", "met" if is_enough else "NOT met")
    return 0 if is_enough else 1


if __name__ == "__main__":
    sys.exit(main())
