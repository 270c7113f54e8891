"""Log lines of the server and its workers: readable or JSON, with a job's id, without secrets.

`NCA_GARDEN_LOG=json` writes one JSON object per line; everything else one readable line.
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
# Tokens of the Hub, what follows Bearer, and passwords in addresses. A visitor's key is 32 hex
# digits, as is a job's id, which the field `job` names where it belongs to a line.
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
    """Takes secrets out of a record: of its message and of its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place; it always passes."""
        record.msg, record.args = redact(record.getMessage()), None
        record.__dict__.pop("color_message", None)  # the same once more, for Uvicorn's colours
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:  # what a formatter takes instead of `exc_info`
            record.exc_text = redact(record.exc_text)
        return True


class RedactedStream(io.TextIOBase):
    """A text stream that takes secrets out of each line, for what libraries print past the log.

    Args:
        stream: where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._line = ""
        self._guard = threading.Lock()

    def write(self, text: str) -> int:
        """Write all lines that are complete; the rest waits for its end."""
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
        """Whether a person reads along."""
        return self.stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's."""
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
    """Let everything that this process logs pass the one formatter; call it once, at the start.

    What is printed past the log, such as a library's traceback, loses its secrets too.

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
    # Uvicorn writes through handlers of its own, made later; a logger's filters stay.
    logging.getLogger("uvicorn.error").addFilter(Redact())
    for logger in list(logging.root.manager.loggerDict.values()):
        for other in logger.handlers if isinstance(logger, logging.Logger) else ():
            other.addFilter(Redact())
    return handler
