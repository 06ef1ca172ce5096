"""Seeded pages of metrics in both text formats, well-formed, and the same with bytes changed."""

from __future__ import annotations

import random

_NAMES = ("up", "vllm:ttft_seconds", "a", "job_total", "x_count", "node_cpu_seconds_total", "_h:b")
_LABELS = ("le", "engine", "model_name", "a", "b_1", "quantile", "Z")
_TEXTS = ("", "0", "x y", 'q"q', "back\\slash", "two\nlines", "é", "{", "}", ",", "=", "# ", "模型")
_VALUES = ("0", "1", "-1", "1.5", "1e3", "1E-7", "NaN", "+Inf", "-Inf", "Nan", "inf", "12345678901")
_KINDS = ("counter", "gauge", "summary", "histogram", "untyped")
_OPEN_KINDS = ("counter", "gauge", "summary", "histogram", "gaugehistogram", "info", "stateset",
               "unknown")  # fmt: skip
_HELPS = ("help", "a  b ", r"new\nline", '"x', r"back\\\\slash", r"q\"", r"\x")
_NOISE = '{}",=\\ \t#\n_\r+-.eEnaN019azAZ:é'


def quote(text: str) -> str:
    """A label value as both formats write it."""
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return f'"{escaped}"'


def _make_labels(rng: random.Random, *fixed: tuple[str, str]) -> str:
    names = rng.sample(
        [name for name in _LABELS if name not in {"le", "quantile"}], rng.randint(0, 3)
    )
    pairs = [(name, rng.choice(_TEXTS)) for name in names] + list(fixed)
    rng.shuffle(pairs)
    return ",".join(f"{name}={quote(value)}" for name, value in pairs)


def _brace(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""


def make_text_page(rng: random.Random) -> str:
    """A page of the text format with its liberties: spaces, timestamps, comments, disorder."""
    lines: list[str] = []
    for _ in range(rng.randint(0, 6)):
        name, kind = rng.choice(_NAMES), rng.choice(_KINDS)
        if rng.random() < 0.7:
            lines.append(f"# HELP {name} {rng.choice(_HELPS)}")
        if rng.random() < 0.8:
            lines.append(f"# TYPE {name} {kind}")
        lines.extend(_make_text_sample(rng, name, kind) for _ in range(rng.randint(0, 4)))
        if rng.random() < 0.2:
            lines.append(rng.choice(("", "# a comment", "#", "  ", "#HELP x y", "# EOF")))
    if rng.random() < 0.1:
        rng.shuffle(lines)
    return "\n".join(lines) + rng.choice(("\n", ""))


def _make_text_sample(rng: random.Random, name: str, kind: str) -> str:
    fixed: list[tuple[str, str]] = []
    suffix = ""
    if kind == "histogram":
        suffix = rng.choice(("_bucket", "_bucket", "_sum", "_count", ""))
        fixed = [("le", rng.choice(("0.1", "1", "+Inf")))] if suffix == "_bucket" else []
    elif kind == "summary":
        suffix = rng.choice(("", "_sum", "_count"))
        fixed = [("quantile", "0.5")] if not suffix else []
    labels = _make_labels(rng, *fixed)
    if labels and rng.random() < 0.2:
        labels = rng.choice((f" {labels} ", f"{labels},", f",{labels}"))
    space = rng.choice((" ", " ", " ", "  ", "\t"))
    time = rng.choice(("", "", "", f"{space}1700000000123", f"{space}-5"))
    return f"{name}{suffix}{_brace(labels)}{space}{rng.choice(_VALUES)}{time}"


def make_openmetrics_page(rng: random.Random) -> str:
    """A page of OpenMetrics, most of the time one that all its rules allow."""
    lines: list[str] = []
    for sampled in rng.sample(_NAMES, rng.randint(0, 5)):
        kind = rng.choice(_OPEN_KINDS)
        name = sampled.removesuffix("_total") if kind == "counter" else sampled
        about = [f"# HELP {name} {rng.choice(_HELPS)}", f"# TYPE {name} {kind}"]
        if name.endswith("_seconds") and rng.random() < 0.5:
            about.append(f"# UNIT {name} seconds")
        rng.shuffle(about)
        lines.extend(about)
        for number in range(rng.randint(0, 3)):
            lines.extend(_make_open_samples(rng, name, kind, number))
    return "\n".join([*lines, "# EOF"]) + rng.choice(("\n", "\n", ""))


def _make_open_samples(rng: random.Random, name: str, kind: str, number: int) -> list[str]:
    own = _make_labels(rng, ("n", str(number)))
    time = rng.choice(("", "", " 1700000000", f" 1700000000.{number}25", " 1500000000.5"))
    value = rng.choice(("0", "1.5", "17", "1e3"))
    if kind == "counter":
        exemplar = rng.choice(("", "", ' # {trace_id="x"} 0.5', ' # {a="b"} 1 1700000000.5'))
        return [f"{name}_total{_brace(own)} {value}{time}{exemplar}"]
    if kind == "summary":
        edge = f'{own},quantile="0.5"'
        return [f"{name}{_brace(edge)} {value}{time}", f"{name}_count{_brace(own)} 3{time}"]
    if kind in {"histogram", "gaugehistogram"}:
        total, count = ("_sum", "_count") if kind == "histogram" else ("_gsum", "_gcount")
        counts = sorted(rng.randint(0, 9) for _ in range(3))
        edges = ("0.5", "1.0", "+Inf")
        return [
            *(
                f'{name}_bucket{{{own},le="{edge}"}} {count_here}{time}'
                for edge, count_here in zip(edges, counts, strict=True)
            ),
            f"{name}{count}{_brace(own)} {counts[-1]}{time}",
            f"{name}{total}{_brace(own)} {value}{time}",
        ]
    if kind == "info":
        return [f"{name}_info{_brace(own)} 1"]
    if kind == "stateset":
        return [f'{name}{{{own},{name}="{state}"}} {rng.choice("01")}' for state in "ab"]
    return [f"{name}{_brace(own)} {rng.choice(_VALUES)}{time}"]


def change_page(rng: random.Random, page: str) -> str:
    """The page with a few characters put in, left out or doubled, or lines moved."""
    for _ in range(rng.randint(1, 3)):
        place = rng.randint(0, len(page))
        kind = rng.randint(0, 4)
        if kind == 0:
            page = page[:place] + rng.choice(_NOISE) + page[place:]
        elif kind == 1:
            page = page[:place] + page[place + rng.randint(1, 3) :]
        elif kind == 2:
            page = page[:place] + rng.choice(_NOISE) + page[place + 1 :]
        elif kind == 3:
            lines = page.split("\n")
            first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[first], lines[second] = lines[second], lines[first]
            page = "\n".join(lines)
        else:
            lines = page.split("\n")
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            page = "\n".join(lines)
    return page
