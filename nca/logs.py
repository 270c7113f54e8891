"""Log lines of the server and its workers: readable or JSON, with a job's id, without secrets.

`NCA_GARDEN_LOG=json` writes one JSON object per line; any other value writes readable lines.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping
from typing import IO, Any, TextIO

REDACTED = "[redacted]"
# Hub tokens, what follows Bearer, passwords in addresses, and visitors' keys. A key is 32 hex
# digits, and so is a job's id, which is therefore logged in the field `job`.
_SECRETS = re.compile(
    r"\b(hf_|api_org_)[A-Za-z0-9_-]{6,}"
    r"|(?<=bearer )\s*[^\s\"',]+"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?<![0-9A-Fa-f])[0-9A-Fa-f]{32}(?![0-9A-Fa-f])",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """`text` without tokens, passwords in addresses, and visitors' keys."""
    return _SECRETS.sub(REDACTED, text)


class Redact(logging.Filter):
    """Removes secrets from a record's message and traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place; always True, so that every record is logged."""
        record.msg, record.args = redact(record.getMessage()), None
        record.__dict__.pop("color_message", None)  # the message again, with Uvicorn's colours
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:  # formatters use it instead of `exc_info`
            record.exc_text = redact(record.exc_text)
        return True


class RedactedStream(io.TextIOBase):
    """A text stream that removes secrets from each line, for what libraries print unlogged.

    Args:
        stream: where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._line = ""
        self._guard = threading.Lock()

    def write(self, text: str) -> int:
        """Write all complete lines; an incomplete one is kept until it ends."""
        with self._guard:
            *lines, self._line = (self._line + text).split("\n")
            if lines:
                self.stream.write(redact("\n".join(lines)) + "\n")
        return len(text)

    def flush(self) -> None:
        """Write the incomplete line too."""
        with self._guard:
            self.stream.write(redact(self._line))
            self._line = ""
        self.stream.flush()

    def fileno(self) -> int:
        """The stream's file descriptor, for child processes and `os.fstat`."""
        return self.stream.fileno()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self.stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return self.stream.encoding


class Formatter(logging.Formatter):
    """One line per record; a traceback follows it, or is the field `traceback` in JSON.

    Args:
        as_json: write JSON objects with time, level, logger, message and, where known, job.
    """

    converter = time.gmtime

    def __init__(self, as_json: bool = False) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        job, message = getattr(record, "job", None), record.getMessage()
        when = self.formatTime(record, self.datefmt)
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if not self.as_json:
            words = f"job {job}: {message}" if job else message
            line = f"{when} {record.levelname} {record.name} {words}"
            return f"{line}\n{record.exc_text}" if record.exc_text else line
        fields = {
            "time": when,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        fields |= {"job": job} if job else {}
        fields |= {"traceback": record.exc_text} if record.exc_text else {}
        return json.dumps(fields, ensure_ascii=False)


class _JobLogger(logging.LoggerAdapter[logging.Logger]):
    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **kwargs.get("extra", {})}}


def job_logger(logger: logging.Logger, job: str) -> logging.LoggerAdapter[logging.Logger]:
    """`logger` for lines about one job; each carries its id."""
    return _JobLogger(logger, {"job": job})


def set_up_logging(
    environ: Mapping[str, str] = os.environ, stream: IO[str] | None = None
) -> logging.Handler:
    """Send everything that this process logs through one handler; call it once, at the start.

    Secrets are also removed from what is printed unlogged, such as a library's traceback.

    Args:
        environ: NCA_GARDEN_LOG is read.
        stream: standard error when None.

    Returns:
        The handler, now the root logger's only one.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    sys.stdout, sys.stderr = RedactedStream(sys.stdout), RedactedStream(sys.stderr)
    handler.setFormatter(Formatter(environ.get("NCA_GARDEN_LOG", "").strip().lower() == "json"))
    handler.addFilter(Redact())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("nca").setLevel(logging.INFO)
    # Uvicorn adds its own handlers later, so the filter is set on its logger.
    logging.getLogger("uvicorn.error").addFilter(Redact())
    for logger in list(logging.root.manager.loggerDict.values()):
        for other in logger.handlers if isinstance(logger, logging.Logger) else ():
            other.addFilter(Redact())
    return handler
