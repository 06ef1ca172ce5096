"""The documents about the database say what the models and the migrations say."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from tests.architecture.repository import ROOT

from optiinfra.database import data_model, migrate
from optiinfra.database.data_model_picture import draw_picture
from optiinfra.database.models import Base

DOCS = ROOT / "docs"
REMEDY = "run `python -m optiinfra.database.data_model docs`"


def test_the_page_is_what_the_models_say() -> None:
    page = (DOCS / data_model.PAGE).read_text(encoding="utf-8")
    assert page.splitlines() == data_model.make_page().splitlines(), REMEDY


def test_the_picture_is_what_the_models_say() -> None:
    picture = (DOCS / data_model.PICTURE).read_text(encoding="utf-8")
    assert picture == draw_picture(data_model.list_groups()), REMEDY
    assert ET.fromstring(picture).tag.endswith("svg")  # noqa: S314 - our own file


def test_every_table_is_on_the_page_and_in_the_picture() -> None:
    tables = [table.name for group in data_model.list_groups().values() for table in group]
    assert sorted(tables) == sorted(Base.metadata.tables)
    picture = (DOCS / data_model.PICTURE).read_text(encoding="utf-8")
    assert sorted(re.findall(r'class="h"[^>]*>(\w+)<', picture)) == sorted(tables)


def test_every_revision_has_its_line_in_order() -> None:
    page = (DOCS / "migrations.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(\d{3}_\w+)` \|(.*)\|$", page)
    assert tuple(name for name, _ in rows) == migrate.list_revisions()
    for name, cells in rows:
        columns = [cell.strip() for cell in cells.split("|")]
        assert len(columns) == 3, name
        assert all(columns), f"{name}: purpose, strongest lock and way back are all to be said"
