"""What the API needs for code monitors beside the projections: the vault, the results, a look into histories, and who carries
messages that try out an action.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from api.commands.sendable import Sendable
from api.pace import Pace
from api.preview.commits import CommitPreviewer
from infra.blobs import BlobMissing, BlobRef, BlobStore
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader
from schemas.events import ResultsBlob, SecretPlace
from streams.monitors import doors
from streams.monitors.delivery.carrier import Carrier
from streams.monitors.doors import Doors
from streams.monitors.links import external_url
from streams.monitors.results import Result, read

_TRIALS: Final = 10
_TRIALS_WITHIN_S: Final = 60.0


class Monitoring(msgspec.Struct, frozen=True):
    """Of one process; threads may share it. ``trials`` says how often somebody may try out an action."""

    doors: Doors
    blobs: BlobStore
    slack_hosts: Sequence[str]
    previewer: CommitPreviewer
    carrier: Carrier
    external_url: str
    trials: Pace
    sendable: Sendable

    @classmethod
    def of(cls, settings: Settings, reader: Reader) -> "Monitoring":
        """By the settings."""
        opened = doors.open_doors(settings, reader, Role.APP)
        return cls(
            opened,
            BlobStore(settings.effective_blob_url),
            settings.action_slack_hosts,
            CommitPreviewer(settings.home),
            Carrier.of(settings, opened),
            external_url(settings),
            Pace(_TRIALS, _TRIALS_WITHIN_S),
            Sendable.of(settings),
        )

    def keep(self, secret: str, kind: str, owner: str, once: str | None = None) -> SecretPlace:
        """Put a secret into the vault, for monitors of ``owner``. Raises SecretMissing where there is none."""
        kept = self.doors.secrets.put(secret, kind=kind, owner=owner, once=once)
        return SecretPlace(ref=kept.ref, fingerprint=kept.fingerprint)

    def results(self, blob: ResultsBlob | None) -> list[Result]:
        """The exact results of a run; none where they are not kept any more."""
        if blob is None:
            return []
        try:
            return read(self.blobs.read(BlobRef(blob.uri, blob.size_bytes, blob.sha256)))
        except BlobMissing:
            return []
