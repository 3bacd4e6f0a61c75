"""What operators' questions need beside a reader's snapshot: rows that the app may not read, and the cluster's administration.

Only for who is a site admin: ``api.graphql.types.admin.operating_of`` checks that first.
"""

import threading
from typing import Final

from sqlalchemy import Engine

from infra.kafka.admin import KafkaAdmin
from infra.postgres.connect import engine as make_engine
from infra.postgres.role import Role
from infra.settings import Settings
from projections.reading import Reader

_CONNECTIONS: Final = 2


class Operating:
    """Threads may share it. Nothing is connected before the first question."""

    def __init__(self, settings: Settings) -> None:
        self.settings: Final = settings
        self._lock = threading.Lock()
        self._reader: Reader | None = None
        self._engine: Engine | None = None
        self._projector: Engine | None = None
        self._admin: KafkaAdmin | None = None

    @property
    def engine(self) -> Engine:
        """The worker's role: reads every row of the projections, writes ``runtime``."""
        with self._lock:
            if self._engine is None:
                self._engine = make_engine(
                    self.settings, Role.WORKER, pool_size=_CONNECTIONS, name="operating"
                )
            return self._engine

    @property
    def projector(self) -> Engine:
        """The projector's role, which alone may change generations."""
        with self._lock:
            if self._projector is None:
                self._projector = make_engine(
                    self.settings, Role.PROJECTOR, pool_size=2 * _CONNECTIONS, name="operating-generations"
                )
            return self._projector

    @property
    def reader(self) -> Reader:
        """Snapshots with the rights of ``engine``."""
        database = self.engine
        with self._lock:
            if self._reader is None:
                self._reader = Reader(database)
            return self._reader

    @property
    def admin(self) -> KafkaAdmin:
        """The cluster's administration. Raises KafkaUnreachable."""
        with self._lock:
            if self._admin is None:
                self._admin = KafkaAdmin(self.settings, client_id="millstream-operating")
            return self._admin

    def close(self) -> None:
        """Let go of every connection."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
            if self._engine is not None:
                self._engine.dispose()
            if self._projector is not None:
                self._projector.dispose()
            if self._admin is not None:
                self._admin.close()
            self._reader, self._engine, self._projector, self._admin = None, None, None, None
