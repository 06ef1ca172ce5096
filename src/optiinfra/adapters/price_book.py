"""The dated price book: on-demand list prices by GPU type, shipped with the package or the user's.

Columns, in any order: `gpu` (a catalogue name), `cloud`, `region` (empty: every region),
`instance_type`, `num_gpus`, `list_cost_usd_per_h` (for the whole instance), `as_of` (YYYY-MM-DD),
`source`.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from pathlib import Path

from optiinfra.adapters.text_file import read_text_file
from optiinfra.domain.errors import InputError
from optiinfra.domain.fleet import Fleet
from optiinfra.domain.gpu_catalogue import find_gpu, list_close_gpu_names
from optiinfra.domain.prices import Offer

COLUMNS = (
    "gpu",
    "cloud",
    "region",
    "instance_type",
    "num_gpus",
    "list_cost_usd_per_h",
    "as_of",
    "source",
)
_SHIPPED = "price_book.csv"
_MAX_GPUS = 1024
_MAX_COST = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """On-demand offers with the date of each. `source` names the book itself, for printing."""

    offers: tuple[Offer, ...]
    source: str

    @property
    def clouds(self) -> tuple[str, ...]:
        """Every cloud in the book, sorted."""
        return tuple(sorted({offer.cloud for offer in self.offers}))

    @property
    def regions(self) -> tuple[str, ...]:
        """Every region that a price in the book names, sorted."""
        return tuple(sorted({offer.region for offer in self.offers if offer.region}))

    @property
    def as_of(self) -> date | None:
        """Date of the oldest price; None for an empty book."""
        return min((offer.as_of for offer in self.offers if offer.as_of), default=None)

    def age_days(self, today: date) -> int | None:
        """Age of the oldest price in days; None for an empty book."""
        return None if self.as_of is None else (today - self.as_of).days

    def describe(self, today: date) -> str:
        """One sentence: how many prices, of when, and how old that is."""
        if self.as_of is None:
            return f"{self.source}: no prices."
        return (
            f"{self.source}: {len(self.offers)} on-demand prices, the oldest of "
            f"{self.as_of.isoformat()} ({self.age_days(today)} days old)."
        )

    def describe_used(self, fleet: Fleet, today: date) -> tuple[str, ...]:
        """Where the prices of a fleet come from and how old they are."""
        deployed = [d.offer for d in fleet.deployments if d.offer is not None]
        offers = [*fleet.offers, *deployed]
        notes = []
        if any(offer.as_of is not None for offer in offers):
            notes.append(self.describe(today))
        if any(offer.as_of is None for offer in offers):
            notes.append("Prices in the fleet file are the customer's own.")
        return tuple(notes)

    def list_offers(
        self, gpu: str, *, clouds: tuple[str, ...] = (), regions: tuple[str, ...] = ()
    ) -> tuple[Offer, ...]:
        """Offers for a GPU type, cheapest first; an empty tuple of clouds or regions allows all."""
        lower = {cloud.lower() for cloud in clouds}
        return tuple(
            offer
            for offer in self.offers
            if offer.gpu == gpu
            and (not lower or offer.cloud.lower() in lower)
            and (not regions or offer.region is None or offer.region in regions)
        )


def read_price_book(path: Path | None = None) -> PriceBook:
    """The shipped book, or a user's CSV; InputError with file, line and column."""
    if path is None:
        text = files("optiinfra.adapters").joinpath(_SHIPPED).read_text(encoding="utf-8")
        return PriceBook(offers=_read_offers(text, file=_SHIPPED), source="Shipped price book")
    text = read_text_file(path, what="price book")
    return PriceBook(offers=_read_offers(text, file=str(path)), source=f"Price book {path.name}")


def _read_offers(text: str, *, file: str) -> tuple[Offer, ...]:
    """Every row as an offer, cheapest per GPU first."""
    reader = csv.DictReader(io.StringIO(text), strict=True)
    offers: dict[tuple[str, str, str | None, str], Offer] = {}
    try:
        _check_header(reader.fieldnames, file=file)
        for row in reader:
            offer = _RowReader(row, file=file, line=reader.line_num).read()
            key = (offer.gpu, offer.cloud, offer.region, offer.instance_type)
            if key in offers:
                raise InputError(
                    f"{offer.instance_type} of {offer.cloud} is priced twice.",
                    remedy="Keep one of the two rows.",
                    file=file,
                    line=reader.line_num,
                    field="instance_type",
                )
            offers[key] = offer
    except csv.Error as error:
        raise InputError(
            f"This is not CSV: {error}.",
            remedy="Separate columns by commas and quote text that holds commas.",
            file=file,
            line=reader.line_num,
        ) from error
    return tuple(
        sorted(
            offers.values(),
            key=lambda o: (
                o.gpu,
                o.list_cost_usd_per_h / o.num_gpus,
                o.num_gpus,
                o.cloud,
                o.region or "",
                o.instance_type,
            ),
        )
    )


def _check_header(names: object, *, file: str) -> None:
    """Exactly the documented columns."""
    columns = list(names) if isinstance(names, (list, tuple)) else []
    missing = [name for name in COLUMNS if name not in columns]
    unknown = [name for name in columns if name not in COLUMNS]
    if missing or unknown or len(set(columns)) != len(columns):
        field = (missing or unknown or columns)[0]
        problem = "is missing" if missing else "is not known" if unknown else "stands twice"
        raise InputError(
            f"The column `{field}` {problem}.",
            remedy=f"The first line names the columns {', '.join(COLUMNS)}.",
            file=file,
            line=1,
            field=field,
        )


class _RowReader:
    """Reads one row of the book."""

    def __init__(self, row: dict[str, str], *, file: str, line: int) -> None:
        self.row = row
        self.file = file
        self.line = line

    def read(self) -> Offer:
        """The row as an offer."""
        if None in self.row or None in self.row.values():
            raise self._refuse("gpu", f"The row does not have {len(COLUMNS)} columns.", "Mend it.")
        name = self._get_text("gpu")
        gpu = find_gpu(name)
        if gpu is None:
            close = ", ".join(list_close_gpu_names(name)[:3])
            raise self._refuse(
                "gpu",
                f"No GPU type is called '{name}'.",
                f"Closest: {close}. Price GPUs of your own under `prices` in the fleet file.",
            )
        return Offer(
            gpu=gpu.name,
            cloud=self._get_text("cloud"),
            instance_type=self._get_text("instance_type"),
            num_gpus=self._get_count(),
            list_cost_usd_per_h=self._get_cost(),
            region=self.row["region"].strip() or None,
            as_of=self._get_date(),
            source=self._get_text("source"),
        )

    def _refuse(self, column: str, problem: str, remedy: str) -> InputError:
        """An error at one column of this row."""
        return InputError(problem, remedy=remedy, file=self.file, line=self.line, field=column)

    def _get_text(self, column: str) -> str:
        """Text that is not empty."""
        text = self.row[column].strip()
        if not text:
            raise self._refuse(column, f"`{column}` is empty.", "Fill it in.")
        return text

    def _get_count(self) -> int:
        """GPUs of one instance."""
        text = self._get_text("num_gpus")
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MAX_GPUS):
            raise self._refuse(
                "num_gpus", f"'{text}' is not a number of GPUs.", f"Give 1 to {_MAX_GPUS}."
            )
        return int(text)

    def _get_cost(self) -> Decimal:
        """A price in US dollars."""
        text = self._get_text("list_cost_usd_per_h")
        try:
            cost = Decimal(text)
        except InvalidOperation:
            cost = Decimal("NaN")
        if not cost.is_finite() or not 0 < cost < _MAX_COST:
            raise self._refuse(
                "list_cost_usd_per_h",
                f"'{text}' is not a price.",
                "Give US dollars an hour for the whole instance, without a currency sign.",
            )
        return cost

    def _get_date(self) -> date:
        """The day on which the price was read."""
        text = self._get_text("as_of")
        try:
            return date.fromisoformat(text)
        except ValueError as error:
            raise self._refuse(
                "as_of", f"'{text}' is not a date.", "Write it YYYY-MM-DD."
            ) from error
