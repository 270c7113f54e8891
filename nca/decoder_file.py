"""A decoder's file, `decoder.safetensors`: half-precision weights, and what must match them.

It names the weights of the automaton it was fitted to, because a decoder draws nonsense for any
other automaton, even a later one of the same training.
"""

from __future__ import annotations

import hashlib

import torch
from safetensors.torch import save as to_safetensors

from nca.config import BadInput, DecoderInfo, Limits
from nca.decoder import Decoder
from nca.model import NCA
from nca.untrusted import in_range, parse, shapes
from nca.wording import size_text

DECODER = "decoder.safetensors"
_METADATA = "nca_garden_decoder"


def fingerprint(nca: NCA) -> str:
    """A hash of an automaton's architecture and weights, 32 hex digits."""
    weights = nca.state_dict()
    data = b"".join(weights[name].detach().float().cpu().numpy().tobytes() for name in weights)
    return hashlib.sha256(nca.config.model_dump_json().encode() + data).hexdigest()[:32]


def decoder_to_bytes(decoder: Decoder, nca: NCA) -> bytes:
    """The decoder of `nca` as safetensors, float16.

    Raises:
        ValueError: a weight is not finite in half precision; such a decoder is never written.
    """
    weights = {k: v.detach().half().cpu().contiguous() for k, v in decoder.state_dict().items()}
    if not all(bool(v.isfinite().all()) for v in weights.values()):
        raise ValueError("a decoder that is not finite is not saved")
    info = DecoderInfo(decoder=decoder.config, automaton=fingerprint(nca))
    return to_safetensors(weights, {_METADATA: info.model_dump_json()})


def decoder_from_bytes(data: bytes, nca: NCA, limits: Limits) -> Decoder | None:
    """The decoder in an untrusted file; None when it was fitted to other weights than `nca`'s.

    Size, metadata, exact names, shapes, dtype float16 and finite values in range are all checked
    before the decoder is built.

    Raises:
        BadInput: which says what does not fit.
    """
    if len(data) > limits.checkpoint_bytes:
        raise BadInput(
            f"This checkpoint's decoder is larger than {size_text(limits.checkpoint_bytes)}."
        )
    info, weights = parse(
        data, _METADATA, DecoderInfo,
        misfit="This checkpoint's decoder does not fit this garden.",
        damaged=f"This checkpoint's {DECODER} is damaged or was written by another program.",
    )  # fmt: skip
    with torch.device("meta"):
        expected = shapes(Decoder(info.decoder, nca.config))
    if {k: v.shape for k, v in weights.items()} != expected:
        raise BadInput("This checkpoint's decoder does not fit its automaton.")
    if not in_range(weights, torch.float16, limits.weight_abs):
        raise BadInput("This checkpoint's decoder is not finite float16 numbers in range.")
    if info.automaton != fingerprint(nca):
        return None
    decoder = Decoder(info.decoder, nca.config)
    decoder.load_state_dict(weights)
    return decoder
