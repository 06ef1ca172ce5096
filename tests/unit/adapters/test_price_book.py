"""The shipped price book and a user's own."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from optiinfra.adapters.price_book import COLUMNS, read_price_book
from optiinfra.domain.errors import InputError
from optiinfra.domain.prices import PurchaseOption

HEADER = ",".join(COLUMNS)
ROW = "h100,AWS,us-east-1,p5.48xlarge,8,55.04,2026-01-02,my contract"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "prices.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_shipped_book_is_dated_and_on_demand() -> None:
    book = read_price_book()
    assert book.offers
    assert book.as_of == date(2025, 3, 7)
    assert book.age_days(date(2025, 3, 17)) == 10
    assert "(10 days old)" in book.describe(date(2025, 3, 17))
    for offer in book.offers:
        assert offer.purchase_option is PurchaseOption.ON_DEMAND
        assert "MIT" in offer.source
    assert set(book.clouds) >= {"AWS", "Azure", "GCP"}


def test_offers_by_gpu_and_place() -> None:
    book = read_price_book()
    prices = [offer.list_cost_usd_per_h / offer.num_gpus for offer in book.list_offers("H100-SXM")]
    assert prices == sorted(prices)
    assert {offer.cloud for offer in book.list_offers("T4", clouds=("aws",))} == {"AWS"}
    assert book.list_offers("T4", regions=("nowhere",)) == book.list_offers("T4")
    assert book.list_offers("H200-SXM") == ()


def test_a_users_book(tmp_path: Path) -> None:
    book = read_price_book(write(tmp_path, HEADER, ROW))
    (offer,) = book.offers
    assert (offer.gpu, offer.num_gpus, offer.region) == ("H100-SXM", 8, "us-east-1")
    assert offer.list_cost_usd_per_h == Decimal("55.04")
    assert book.list_offers("H100-SXM", regions=("eu-west-1",)) == ()
    assert book.describe(date(2026, 1, 3)).startswith("Price book prices.csv: 1 on-demand price")


def test_an_empty_book_has_no_age(tmp_path: Path) -> None:
    book = read_price_book(write(tmp_path, HEADER))
    assert book.age_days(date(2026, 1, 1)) is None
    assert "no prices" in book.describe(date(2026, 1, 1))


@pytest.mark.parametrize(
    ("lines", "line", "field"),
    [
        ((HEADER.replace("gpu,", "card,"), ROW), 1, "gpu"),
        ((HEADER + ",spot", ROW + ",1"), 1, "spot"),
        ((HEADER + ",gpu", ROW + ",1"), 1, "gpu"),
        ((HEADER, ROW.replace("h100", "h1000x")), 2, "gpu"),
        ((HEADER, ROW, ROW), 3, "instance_type"),
        ((HEADER, ROW.replace("AWS", "")), 2, "cloud"),
        ((HEADER, ROW.replace(",8,", ",0,")), 2, "num_gpus"),
        ((HEADER, ROW.replace(",8,", ",8.5,")), 2, "num_gpus"),
        ((HEADER, ROW.replace("55.04", "free")), 2, "list_cost_usd_per_h"),
        ((HEADER, ROW.replace("55.04", "-1")), 2, "list_cost_usd_per_h"),
        ((HEADER, ROW.replace("55.04", "NaN")), 2, "list_cost_usd_per_h"),
        ((HEADER, ROW.replace("55.04", "$55")), 2, "list_cost_usd_per_h"),
        ((HEADER, ROW.replace("2026-01-02", "yesterday")), 2, "as_of"),
        ((HEADER, "h100,AWS"), 2, "gpu"),
        ((HEADER, ROW + ",more"), 2, "gpu"),
    ],
)
def test_what_is_refused_names_file_line_and_column(
    tmp_path: Path, lines: tuple[str, ...], line: int, field: str
) -> None:
    path = write(tmp_path, *lines)
    with pytest.raises(InputError) as caught:
        read_price_book(path)
    assert caught.value.file == str(path)
    assert (caught.value.line, caught.value.field) == (line, field)
    assert caught.value.remedy


def test_what_is_no_csv(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not CSV"):
        read_price_book(write(tmp_path, HEADER, '"open'))
    with pytest.raises(InputError, match="is missing"):
        read_price_book(write(tmp_path))
