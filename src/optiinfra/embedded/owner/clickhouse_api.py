"""ClickHouse's HTTP protocol over chDB, as far as `clickhouse-connect` and curl use it.

Statements by POST or GET, in the body or as `query`; settings, `param_…`, `database`,
`default_format` and `query_id` as parameters; inserts with data in any format, compressed or not;
answers in any format. Sessions are not kept: every statement stands alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from optiinfra.embedded.owner.engine import Answer, Engine, EngineError, Statement
from optiinfra.embedded.owner.request_body import BodyError, RequestBody, read_body

# Parameters of the transport: they are no settings of the engine.
TRANSPORT = frozenset(
    {
        "add_http_cors_header", "buffer_size", "client_protocol_version", "close_session",
        "compress", "database", "decompress", "default_format", "enable_http_compression",
        "http_headers_progress_interval_ms", "password", "query", "query_id", "quota_key",
        "role", "send_progress_in_http_headers", "session_check", "session_id",
        "session_timeout", "stacktrace", "user", "wait_end_of_query",
        "cancel_http_readonly_queries_on_client_close",
    }
)  # fmt: skip
STATUSES = {36: 400, 60: 404, 62: 400, 81: 404, 159: 408, 164: 403, 497: 403, 516: 403}
TOO_LARGE = 307  # TOO_MANY_BYTES
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_HAS_RESULT = re.compile(
    r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|CHECK|\()",
    re.IGNORECASE | re.DOTALL,
)


class ClickHouseAPI:
    """Answers requests with one engine."""

    def __init__(self, engine: Engine, *, scratch: Path) -> None:
        self._engine = engine
        self._scratch = scratch

    async def answer(self, request: Request) -> Response:
        """Run what a request asks for."""
        parameters = dict(request.query_params)
        query_id = parameters.get("query_id") or uuid4().hex
        try:
            content_type = request.headers.get("content-type", "")
            if content_type.startswith("multipart/form-data"):
                body = RequestBody(_read_form(await request.body(), content_type, parameters))
            else:
                body = await read_body(
                    request.stream(),
                    encoding=request.headers.get("content-encoding", ""),
                    query=parameters.get("query", ""),
                    directory=self._scratch,
                )
        except BodyError as error:
            return _refuse(str(error), TOO_LARGE, query_id)
        try:
            statement = _make_statement(body.sql, parameters, is_get=request.method == "GET")
            answer = await run_in_threadpool(self._engine.run, statement)
        except EngineError as error:
            return _refuse(str(error), error.code, query_id)
        finally:
            if body.data is not None:
                body.data.unlink(missing_ok=True)
        return _respond(statement, answer, query_id, is_insert=body.data is not None)


def _make_statement(sql: str, parameters: Mapping[str, str], *, is_get: bool) -> Statement:
    bound = {
        name.removeprefix("param_"): value
        for name, value in parameters.items()
        if name.startswith("param_")
    }
    settings = {
        name: value
        for name, value in parameters.items()
        if name not in TRANSPORT and not name.startswith("param_")
    }
    return Statement(
        sql=sql,
        database=parameters.get("database", ""),
        output_format=parameters.get("default_format", "TabSeparated"),
        settings=settings,
        parameters=bound,
        is_read_only=is_get,
    )


def _respond(statement: Statement, answer: Answer, query_id: str, *, is_insert: bool) -> Response:
    counted = {
        "read_rows": str(answer.num_rows_read),
        "read_bytes": str(answer.num_bytes_read),
        "written_rows": str(answer.num_rows_read if is_insert else 0),
        "written_bytes": str(answer.num_bytes_read if is_insert else 0),
        "elapsed_ns": str(round(answer.elapsed_s * 1e9)),
    }
    headers = {
        "X-ClickHouse-Summary": json.dumps(counted),
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Timezone": "UTC",
    }
    if not is_insert and _HAS_RESULT.match(statement.sql):
        found = _FORMAT.search(statement.sql)
        headers["X-ClickHouse-Format"] = found[1] if found else statement.output_format
    return Response(answer.body, headers=headers, media_type="application/octet-stream")


def _refuse(message: str, code: int, query_id: str) -> Response:
    text = message if message.startswith("Code:") else f"Code: {code}. DB::Exception: {message}"
    return PlainTextResponse(
        f"{text}\n",
        status_code=STATUSES.get(code, 500),
        headers={"X-ClickHouse-Exception-Code": str(code), "X-ClickHouse-Query-Id": query_id},
    )


def _read_form(body: bytes, content_type: str, parameters: dict[str, str]) -> str:
    """The statement of a form; its other fields become parameters. Files are not taken."""
    from email.parser import BytesParser
    from email.policy import HTTP

    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    sql = ""
    for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None or not isinstance(name, str):
            raise BodyError("External data is not taken.")
        payload = part.get_payload(decode=True)
        text = payload.decode() if isinstance(payload, bytes) else ""
        if name == "query":
            sql = text
        else:
            parameters[name] = text
    return sql
