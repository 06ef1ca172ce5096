"""The entity-relationship picture, as an SVG drawn from the tables' keys.

A column of boxes for each subsystem; a box names its table and the foreign keys. Keys to the hubs,
which nearly every table refers to, are written and not drawn: lines to everywhere show nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from sqlalchemy import ForeignKeyConstraint, Table

HUBS: Final = ("agents", "customers")
WIDTH: Final = 232
ROW: Final = 18
HEAD: Final = 30
GAP: Final = 18
LANE: Final = 58  # between columns, for the lines
MARGIN: Final = 20
TITLE: Final = 34
COLUMNS: Final = 3
_STYLE: Final = """
    <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"
      orient="auto"><path d="M0 0 10 5 0 10z" fill="#64748b"/></marker>
    <style>
      .box { fill: #fff; stroke: #cbd5e1; stroke-width: 1.5; }
      .hub { fill: #eef2ff; stroke: #6366f1; stroke-width: 1.5; }
      .g { font-size: 15px; font-weight: 600; fill: #334155; }
      .h { font-size: 14px; font-weight: 600; fill: #0f172a; }
      .t { font-size: 12px; fill: #475569; }
      .a { fill: none; stroke: #64748b; stroke-width: 1.5; marker-end: url(#tip); }
      .n { stroke-dasharray: 5 4; }
    </style>"""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a table is drawn."""

    table: Table
    left: int
    top: int

    @property
    def keys(self) -> list[ForeignKeyConstraint]:
        """The foreign keys in the order of their columns, one for each parent and child column."""
        order = list(self.table.columns.keys())
        keys = sorted(
            self.table.foreign_key_constraints,
            key=lambda key: [order.index(name) for name in key.column_keys],
        )
        return [key for key in keys if key.referred_table is not self.table]

    @property
    def height(self) -> int:
        """Of the whole box."""
        return HEAD + ROW * (len(self.keys) + 1) + 6


def draw_picture(groups: Mapping[str, Sequence[Table]]) -> str:
    """The picture as SVG; the same tables give the same bytes."""
    boxes, titles, height = _place(groups)
    width = 2 * MARGIN + COLUMNS * WIDTH + (COLUMNS - 1) * LANE + LANE
    fonts = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
    title = "The tables of the database by subsystem, with their foreign keys."
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        f' aria-labelledby="title" font-family="{fonts}">'
    )
    parts = [
        opening,
        f'  <title id="title">{title}</title>',
        f"  <defs>{_STYLE}\n  </defs>",
        f'  <rect width="{width}" height="{height}" rx="12" fill="#f8fafc"/>',
    ]
    parts += [f'  <text class="g" x="{x}" y="{y}">{escape(name)}</text>' for name, x, y in titles]
    for box in boxes.values():
        parts += _draw_box(box)
    for box in boxes.values():
        parts += _draw_lines(box, boxes)
    return "\n".join([*parts, "</svg>", ""])


def _place(
    groups: Mapping[str, Sequence[Table]],
) -> tuple[dict[str, Box], list[tuple[str, int, int]], int]:
    """Each group whole into the shortest column from which no line crosses another column."""
    ends = [MARGIN] * COLUMNS
    boxes: dict[str, Box] = {}
    titles: list[tuple[str, int, int]] = []
    for name, tables in groups.items():
        column = min(range(COLUMNS), key=lambda n: (_count_crossings(tables, n, boxes), ends[n], n))
        left = MARGIN + column * (WIDTH + LANE)
        titles.append((name, left, ends[column] + 18))
        ends[column] += TITLE
        for table in tables:
            box = Box(table=table, left=left, top=ends[column])
            boxes[table.name] = box
            ends[column] += box.height + GAP
        ends[column] += GAP
    return boxes, titles, max(ends)


def _count_crossings(tables: Sequence[Table], column: int, boxes: Mapping[str, Box]) -> int:
    parents = [
        boxes[key.referred_table.name]
        for table in tables
        for key in table.foreign_key_constraints
        if key.referred_table.name in boxes and key.referred_table.name not in HUBS
    ]
    left = MARGIN + column * (WIDTH + LANE)
    return sum(abs(parent.left - left) > WIDTH + LANE for parent in parents)


def _draw_box(box: Box) -> Iterator[str]:
    kind = "hub" if box.table.name in HUBS else "box"
    x = box.left + 12
    yield (
        f'  <rect class="{kind}" x="{box.left}" y="{box.top}" width="{WIDTH}"'
        f' height="{box.height}" rx="8"/>'
    )
    yield f'  <text class="h" x="{x}" y="{box.top + 20}">{escape(box.table.name)}</text>'
    for number, key in enumerate(box.keys):
        column = key.column_keys[-1] if len(key.column_keys) > 1 else key.column_keys[0]
        column = next((c for c in key.column_keys if c != "customer_id"), column)
        target = key.referred_table.name
        words = f"{column} → {target}" if target in HUBS else column
        yield f'  <text class="t" x="{x}" y="{_get_row(box, number) + 4}">{escape(words)}</text>'
    others = len(box.table.columns) - len({c for key in box.keys for c in key.column_keys})
    y = _get_row(box, len(box.keys)) + 4
    words = f"and {others} more columns" if box.keys else f"{others} columns"
    yield f'  <text class="t" x="{x}" y="{y}">{words}</text>'


def _draw_lines(box: Box, boxes: Mapping[str, Box]) -> Iterator[str]:
    for number, key in enumerate(box.keys):
        parent = boxes.get(key.referred_table.name)
        if parent is None or parent.table.name in HUBS:
            continue
        is_nulled = (key.ondelete or "").upper().startswith("SET NULL")
        path = _route(box, _get_row(box, number), parent)
        yield f'  <path class="{"a n" if is_nulled else "a"}" d="{path}"/>'


def _route(box: Box, y: int, parent: Box) -> str:
    """A curve in the lane beside the boxes, from the key to its parent's head."""
    head = parent.top + HEAD // 2
    if parent.left == box.left:
        x = box.left + WIDTH
        bend = x + LANE - 12
        return f"M{x} {y} C{bend} {y} {bend} {head} {x} {head}"
    if parent.left > box.left:
        start, end = box.left + WIDTH, parent.left
    else:
        start, end = box.left, parent.left + WIDTH
    middle = LANE // 2 if end > start else -LANE // 2
    return f"M{start} {y} C{start + 2 * middle} {y} {end - 2 * middle} {head} {end} {head}"


def _get_row(box: Box, number: int) -> int:
    return box.top + HEAD + ROW * number + ROW // 2
