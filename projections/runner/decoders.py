"""How much of a record each way of decoding reads."""

from collections.abc import Mapping
from typing import Final

from projections.projection import Decoding
from projections.runner.batch import Decode
from schemas.codec import decode
from schemas.unread import decode_envelope

DECODERS: Final[Mapping[Decoding, Decode]] = {Decoding.WHOLE: decode, Decoding.ENVELOPE: decode_envelope}
