"""Which token a push or a pull uses: the one the visitor chose, and never another."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from nca.config import BadInput
from nca.hub import Hub
from nca.hub.client import Token, writing_token
from nca.settings import Settings

PASTE, OWN = "paste", "own"
SIGN_IN = "Please sign in first; it takes you to the Hub and back."
_HERE = ("127.0.0.1", "::1", "localhost")
_THROUGH = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def push_fields(settings: Settings, hub: Hub) -> tuple[Any, Any]:
    """The choice of how to sign in, and the field for a token."""
    if settings.sign_in:
        gr.LoginButton(size="md", elem_id="sign-in")
        return gr.Textbox(PASTE, visible=False), gr.Textbox("", visible=False, elem_id="token")
    ways = [("Paste a token", PASTE), ("The token of this computer", OWN)]
    way = gr.Radio(
        ways, value=PASTE, label="Sign in with", visible=settings.own_token, elem_id="way"
    )
    token = _token_field(
        "token", "Token with write access", "Used for this push, then forgotten; it is never stored"
    )
    gr.HTML(
        f'<p class="note"><a href="{html.escape(hub.endpoint)}/settings/tokens" target="_blank" '
        'rel="noopener">Make one in your settings on the Hub</a></p>'
    )
    way.change(
        None, way, token, js="(way) => ({__type__: 'update', visible: way === 'paste'})",
        api_visibility="private",
    )  # fmt: skip
    return way, token


def pull_fields(settings: Settings) -> tuple[Any, Any]:
    """How a visitor pulls a private or gated checkpoint: with their account, or a token."""
    as_me = gr.Checkbox(
        False, label="It is private or gated: ask with my account, signed in on this page",
        visible=settings.sign_in, elem_id="pull-as-me",
    )  # fmt: skip
    return as_me, _token_field(
        "pull-token",
        "Token, only if it is private or gated",
        "Used for this pull, then forgotten; it is never stored",
        visible=not settings.sign_in,
    )


def _token_field(elem_id: str, label: str, info: str, visible: bool = True) -> gr.Textbox:
    """A field for a token, which the browser neither displays nor saves."""
    return gr.Textbox(
        "", label=label, info=info, type="password", placeholder="hf_…", max_lines=1,
        max_length=4096, visible=visible, elem_id=elem_id,
        html_attributes=gr.InputHTMLAttributes(autocomplete="off", spellcheck=False),
    )  # fmt: skip


def writing(
    settings: Settings, way: str, pasted: str, signed_in: gr.OAuthToken | None, request: gr.Request
) -> Token:
    """The token to push with: the one the visitor chose, never another as a fallback."""
    if settings.sign_in:
        if signed_in is None:
            raise BadInput(SIGN_IN)
        return writing_token(signed_in.token)
    if way == OWN:
        if not (settings.own_token and is_here(request)):
            raise BadInput("This machine's own token is only for whoever sits at it.")
        return writing_token(None)
    if not isinstance(pasted, str) or not pasted.strip():
        raise BadInput("Please paste a token with write access.")
    return writing_token(pasted)


def reading(settings: Settings, as_me: bool, pasted: str, signed_in: gr.OAuthToken | None) -> Token:
    """The token to pull with; none unless the visitor asks for one."""
    if not settings.sign_in:
        return str(pasted or "").strip() or False
    if not as_me:
        return False
    if signed_in is None:
        raise BadInput(SIGN_IN)
    return signed_in.token


def is_here(request: gr.Request) -> bool:
    """Whether a request comes directly from a browser on this machine, not through a proxy."""
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    client = request.client.host if request.client else ""
    through = any(request.headers.get(name) for name in _THROUGH)
    return client in _HERE[:2] and host.strip("[]") in _HERE and not through
