"""`optiinfra db`: the schema, backups, and one customer's rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from optiinfra.cli.database_access import find_revision, name_database, open_database, read_key

EXIT_DIFFERENT: Final = 5  # `verify` found something
EXIT_UNFINISHED: Final = 6  # `rotate-key` left values under an old key
_SEEDED: Final = "Nothing to do: the examples are there."

app = typer.Typer(no_args_is_help=True, help="Upgrade, verify, back up and restore the database.")

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
CustomerName = Annotated[str, typer.Option(help="The id or the e-mail.", show_default=False)]
NewFile = Annotated[Path, typer.Argument(metavar="FILE", help="To be written.", show_default=False)]
OldFile = Annotated[Path, typer.Argument(metavar="FILE", help="To be read.", show_default=False)]


@app.command()
def current() -> None:
    """Print the schema's revision, whether it is the newest, and whether partitions run out."""
    from optiinfra.database import migrate

    with open_database() as url:
        revision = migrate.current(url)
        alarm = migrate.find_partition_alarm(url)
    newest = migrate.list_revisions()[-1]
    state = "the newest" if revision == newest else f"the newest is {newest}"
    _say(f"{revision or 'no revision'} ({state})")
    if alarm is not None:
        _say(
            f"WARNING: partitions end at {alarm:%Y-%m-%d %H:%M} UTC; later rows are refused."
            " Run `optiinfra db prune`, daily."
        )


@app.command()
def upgrade(
    revision: Annotated[str, typer.Argument(help="Up to this revision.")] = "head",
) -> None:
    """Apply the revisions that the schema lacks; say how many rows were mended or set aside."""
    from optiinfra.cli.findings import reporting
    from optiinfra.database import migrate, role_rights

    lines: list[str] = []
    with open_database() as url:
        before = migrate.current(url)
        try:
            with reporting(url) as lines:
                migrate.upgrade(url, find_revision(revision, {"head"}))
        finally:
            for line in lines:
                _say(line)
        after = migrate.current(url)
        for statement in role_rights.list_missing_of(url):
            _say(f"An administrator has to run: {statement}")
    _say(f"Nothing to do: {after}." if before == after else f"From {before or 'empty'} to {after}.")


@app.command()
def findings(
    *,
    after: Annotated[int, typer.Option(min=0, help="Go on behind the finding of this id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most that many.")] = 50,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with all that each row held.")
    ] = False,
) -> None:
    """List the rows that upgrades mended or set aside, in the order in which they were found."""
    from optiinfra.cli.findings import describe, to_json
    from optiinfra.database.engine import Database
    from optiinfra.database.repositories.migration_findings import MigrationFindings

    with (
        open_database(is_current=True) as url,
        Database(url) as database,
        database.reading() as session,
    ):
        page = MigrationFindings(session).list_page(after=after, limit=limit)
        next_after = page[-1].id if len(page) == limit else None
        if as_json:
            typer.echo(to_json(page, next_after=next_after))
            return
        for finding in page:
            _say(describe(finding))
        if next_after is not None:
            _say(f"There may be more: --after {next_after}.")
        elif not page:
            _say("No row was mended or set aside.")


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="The one to be left; `base` for none.")],
    *,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Undo a revision although rows are lost.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Undo the revisions after REVISION; one that would lose rows is refused."""
    from optiinfra.database import migrate

    target = find_revision(revision, {"base"})
    with open_database() as url:
        before = migrate.current(url)
        _confirm(f"Undo every revision after {target}, from {before}?", yes=yes)
        migrate.downgrade(url, target, accept_loss=accept_loss)
        _say(f"From {before} to {migrate.current(url) or 'empty'}.")


@app.command()
def verify(
    *,
    scratch: Annotated[
        str | None,
        typer.Option(help="URL of an empty database to make the schema in a second time."),
    ] = None,
    histories: Annotated[
        bool, typer.Option("--histories", help="Look for altered histories of workflows as well.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Print each difference of the live schema; exit code 5 when there is one."""
    from dataclasses import asdict

    from optiinfra.database import histories as histories_of
    from optiinfra.database import verification

    found: list[Any] = []
    with open_database() as url:
        found += verification.verify(url, scratch_url=scratch)
        if histories and not found:
            found += histories_of.find_all(url)
    if as_json:
        typer.echo(json.dumps([asdict(difference) for difference in found], indent=2, default=str))
    else:
        for difference in found:
            _say(str(difference))
        if not found:
            also = ", and no history was altered" if histories else ""
            _say(f"The schema is what the migrations make and the models expect{also}.")
    if found:
        raise typer.Exit(EXIT_DIFFERENT)


@app.command()
def backup(file: NewFile) -> None:
    """Write the whole database to FILE, from one snapshot."""
    from optiinfra import bootstrap
    from optiinfra.cli.settings import load_settings
    from optiinfra.database import backup as backups

    with open_database() as url:
        bin_dir = bootstrap.find_client_programs(load_settings())
        manifest = backups.backup(url, file, bin_dir=bin_dir)
    _say(
        f"Wrote {manifest.num_rows:,} rows of {len(manifest.tables)} tables at"
        f" {manifest.revision} to {file}. It is not encrypted."
    )


@app.command()
def restore(
    file: OldFile,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop what the database holds first.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Check FILE, restore it in one transaction, and check what was restored."""
    from optiinfra import bootstrap
    from optiinfra.cli.settings import load_settings
    from optiinfra.database import backup as backups

    with open_database() as url:
        if replace:
            _confirm(f"Drop everything in {name_database(url)} and restore {file}?", yes=yes)
        bin_dir = bootstrap.find_client_programs(load_settings())
        manifest = backups.restore(file, url, bin_dir=bin_dir, is_replacing=replace)
    _say(
        f"Restored {manifest.num_rows:,} rows of {len(manifest.tables)} tables at"
        f" {manifest.revision}, as of {manifest.taken_at:%Y-%m-%d %H:%M:%S %Z}; counts and hashes"
        " agree. Keys of encrypted values are in no backup: bring them by hand."
    )


@app.command("export")
def export_customer(file: NewFile, *, customer: CustomerName) -> None:
    """Write one customer with everything that is theirs to FILE."""
    from optiinfra.database import transfer

    with open_database(is_current=True) as url:
        done = transfer.export_customer(url, customer, file)
    _say(f"Wrote {_count(done.num_rows)} of customer {done.customer_id} to {file}.")


@app.command("import")
def import_customer(file: OldFile) -> None:
    """Bring in the customer of FILE, keeping ids; refused where anything is there already."""
    from optiinfra.database import transfer

    with open_database(is_current=True) as url:
        done = transfer.import_customer(url, file)
    _say(f"Brought in {_count(done.num_rows)} of customer {done.customer_id}.")


@app.command("purge")
def purge_customer(*, customer: CustomerName, yes: Yes = False) -> None:
    """Remove one customer with everything that is theirs; the audit log stays."""
    from optiinfra.database import transfer

    with open_database(is_current=True) as url:
        _confirm(
            f"Remove {customer} and all their rows from {name_database(url)}, for good?", yes=yes
        )
        done = transfer.purge_customer(url, customer)
    _say(f"Removed {_count(done.num_rows)} of customer {done.customer_id}.")


@app.command()
def prune(
    *,
    keep_days: Annotated[
        int | None, typer.Option(min=1, help="Drop months that ended longer ago than that.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Make partitions for the months ahead; with --keep-days, drop what is behind."""
    from datetime import UTC, datetime, timedelta

    from optiinfra.database import partitions, pruning
    from optiinfra.database.engine import make_engine
    from optiinfra.database.failures import translated

    now = datetime.now(UTC)
    with open_database(is_current=True) as url:
        if keep_days is not None:
            _confirm(f"Drop samples and events older than {keep_days} days for good?", yes=yes)
        with translated(name_database(url)):
            engine = make_engine(url, is_pooled=False)
            made = partitions.create_ahead(engine, until=now + partitions.AHEAD)
            if keep_days is None:
                _say(f"Made {', '.join(made) or 'none'}; dropped none.")
                return
            before = now - timedelta(days=keep_days)
            dropped = [
                name
                for table in partitions.TABLES
                for name in pruning.prune(engine, table=table, before=before)
            ]
            num_rows = pruning.prune_quality_metrics(engine, before=before)
    _say(
        f"Made {', '.join(made) or 'none'}; dropped {', '.join(dropped) or 'none'}"
        f" and {num_rows:,} quality metrics."
    )


@app.command()
def seed(
    *,
    beside_others: Annotated[
        bool, typer.Option("--beside-others", help="Although other customers are there.")
    ] = False,
) -> None:
    """Write an example of every table; twice changes nothing. Not beside other customers."""
    from optiinfra.database import seeds
    from optiinfra.database.engine import Database

    with (
        open_database(is_current=True) as url,
        Database(url) as database,
        database.transaction() as session,
    ):
        written = seeds.seed(session, is_beside_others=beside_others)
    _say(f"Wrote {_count(written)}, all of them simulated." if any(written.values()) else _SEEDED)


@app.command("rotate-key")
def rotate_key(
    *,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only add the next key, to be given to every process.")
    ] = False,
) -> None:
    """Seal sensitive values with another key; finishes a rotation that was stopped."""
    from datetime import UTC, datetime

    from optiinfra.cli.key_rotation import describe
    from optiinfra.cli.settings import load_settings
    from optiinfra.database import key_rotation
    from optiinfra.database.engine import Database

    path, now = load_settings().get_key_file(), datetime.now(UTC)
    if prepare:
        id_ = key_rotation.prepare_key(path, now=now)
        _say(f"Added {id_} to {path}. Give the file to every process, then run it without option.")
        return
    with open_database(is_current=True) as url, Database(url) as database:
        done = key_rotation.rotate_key(database, path, now=now)
    for line in describe(done, path):
        _say(line)
    if done.num_left:
        raise typer.Exit(EXIT_UNFINISHED)


@app.command()
def rollup() -> None:
    """Bring the hours of resource metrics up to date; may be stopped and run again at any time."""
    from optiinfra.database import rollups
    from optiinfra.database.engine import make_engine
    from optiinfra.database.failures import translated

    with open_database(is_current=True) as url, translated(name_database(url)):
        num_adopted, num_days = rollups.bring_up_to_date(make_engine(url, is_pooled=False))
    _say(f"Rolled up {num_days:,} days of series; {num_adopted:,} samples were given a series.")


@app.command()
def anonymize(
    *,
    key_file: Annotated[
        Path | None,
        typer.Option(help="16 bytes or more; the same key, the same replacements. Else random."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Replace e-mails, names, keys and free text, in a copy that may be given away."""
    import secrets

    from optiinfra.database import anonymization

    run_key = secrets.token_bytes(32) if key_file is None else read_key(key_file)
    with open_database(is_current=True) as url:
        _confirm(f"Replace all names and texts in {name_database(url)}, for good?", yes=yes)
        counts = anonymization.anonymize(url, run_key=run_key)
    _say(f"Replaced texts in {_count(counts)}.")


def _confirm(question: str, *, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True, err=True)


def _count(num_rows: Mapping[str, int]) -> str:
    filled = sum(1 for number in num_rows.values() if number)
    return f"{sum(num_rows.values()):,} rows of {filled} tables"


def _say(message: str) -> None:
    from optiinfra.cli.consoles import make_console, make_text

    make_console().print(make_text(message), soft_wrap=True)
