"""Errors of the Hub's client, each as one sentence that says what to do.

No sentence quotes a server or an exception: either could repeat a token.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Generator
from contextlib import contextmanager

import httpx2
from huggingface_hub import errors

from nca.config import BadInput
from nca.hub.guard import TOO_SLOW, UNREACHABLE, Unreachable

BAD_PROXY = (
    "The proxy that the environment names cannot be used; please let ALL_PROXY, HTTPS_PROXY and "
    "HTTP_PROXY begin with http://, https:// or socks5://."
)


@contextmanager
def in_plain_words(about: str, after: str = "") -> Generator[None]:
    """Turn whatever the Hub's client raises into BadInput.

    Args:
        about: the repo, or what was asked for.
        after: a sentence that is added.
    """
    try:
        yield
    # Every Exception: a hostile answer makes the client raise KeyError, TypeError and
    # AssertionError too. From None: what the client's errors quote stays out of every traceback.
    except Exception as error:
        sentence = explain_hub_error(error, about)
        raise (type(sentence)(f"{sentence} {after}") if after else sentence) from None


def explain_hub_error(error: BaseException, about: str) -> BadInput:
    """The BadInput, or Unreachable, that explains `error` of the Hub's client."""
    if isinstance(error, BadInput):
        return error
    # Uploads and failed look-ups wrap the error that tells more.
    if isinstance(error, RuntimeError | errors.LocalEntryNotFoundError) and error.__cause__:
        return explain_hub_error(error.__cause__, about)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return Unreachable("This machine is set not to contact the Hub (HF_HUB_OFFLINE).")
    if isinstance(error, errors.LocalTokenNotFoundError):
        return BadInput("No token was found; please sign in, or set HF_TOKEN.")
    if isinstance(error, errors.HfHubHTTPError):
        return _explain_answer(error, about)
    if isinstance(error, httpx2.TimeoutException):
        return Unreachable(TOO_SLOW)
    if isinstance(error, httpx2.TransportError | errors.LocalEntryNotFoundError | ConnectionError):
        return Unreachable(UNREACHABLE)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BadInput("The disk is full; please make room and try again.")
    if isinstance(error, OSError) and error.errno is not None:
        return BadInput("The garden's copy of the Hub's files cannot be read or written here.")
    # The HTTP library has no class of its own for an unusable proxy.
    if isinstance(error, ImportError | ValueError) and re.search("(?i)proxy|socks", str(error)):
        return BadInput(BAD_PROXY)
    return BadInput(f"The Hub's answer about {about} cannot be understood.")


def _explain_answer(error: errors.HfHubHTTPError, about: str) -> BadInput:
    """The sentence for an answer with an error status."""
    status = error.response.status_code
    match error:
        case errors.GatedRepoError():
            return BadInput(
                f"{about} asks its visitors for an agreement; please accept it on the Hub, then "
                "ask with the account or the token that did."
            )
        case errors.RepositoryNotFoundError():
            return BadInput(
                f"There is no {about} on the Hub, or it is private; please check the name, or ask "
                "with the account or a token of somebody who may see it."
            )
        case errors.RevisionNotFoundError():
            return BadInput(f"{about} has no such revision; please check what follows the @.")
        case errors.RemoteEntryNotFoundError():
            return BadInput(f"A file of {about} is missing on the Hub.")
        case errors.DisabledRepoError():
            return BadInput(f"{about} was disabled by the Hub.")
        case _:
            pass  # the status says what happened
    match status:
        case 401:
            return BadInput(
                "The Hub does not accept this token: it is wrong or has expired. Please sign in "
                "again, or make a new token in your settings on the Hub."
            )
        case 402:
            return BadInput(f"The Hub asks for a paid plan to do this with {about}.")
        case 403:
            return BadInput(
                f"The Hub does not allow this for {about}; writing needs a token with write "
                "access from somebody who may change it."
            )
        case 404:
            return BadInput(f"There is no {about} on the Hub.")
        case 409 | 412:
            return BadInput(f"{about} changed on the Hub in the meantime; please try again.")
        case 413:
            return BadInput(f"The Hub finds the files for {about} too large.")
        case 429:
            return Unreachable("The Hub asks for a pause; please try again in a few minutes.")
        case _ if status >= 500:
            return Unreachable("The Hub has a problem of its own; please try again later.")
        case _:
            return BadInput(f"The Hub refused this for {about} (error {status}).")
