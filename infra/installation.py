"""What an installation decides once and keeps: its partition count and its Kafka cluster. And its setting up."""

from collections.abc import Callable
from typing import Final

import psycopg
import sqlalchemy
import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Engine

from infra.kafka.admin import KafkaAdmin
from infra.kafka.errors import KafkaError
from infra.postgres.connect import engine as make_engine
from infra.postgres.errors import WrongInstallation
from infra.postgres.role import SERVING, Role
from infra.postgres.roles import bootstrap
from infra.postgres.runtime import create, installation
from infra.postgres.vault_tables import create as create_vault
from infra.settings import Settings
from infra.soundness import findings, require
from infra.topics import TopicChange, TopicSpec, all_topics, apply
from schemas.errors import MillstreamError
from schemas.topics import Topic

PARTITIONS: Final = "partitions"
CLUSTER_ID: Final = "kafka_cluster_id"
_log = structlog.get_logger()


class NotInstalled(MillstreamError):
    """The database has not been set up yet."""


def set_up(settings: Settings, report: Callable[[str], None] = lambda _: None) -> list[TopicChange]:
    """Roles, schemas, ``runtime`` tables and topics: everything a process needs to find. May be repeated at will.

    Raises:
        MillstreamError: with the remedy (no server, a right is lacking, a topic that cannot be mended,
            a database that belongs to another cluster).
    """
    set_up_database(settings)
    with KafkaAdmin(settings) as admin:
        changes = apply(admin, decided_topics(settings, admin), settings.kafka_replication_factor)
    for change in changes:
        report(f"{change.topic}: {change.name} {change.before or 'absent'} -> {change.after}")
    return changes


def set_up_database(settings: Settings) -> None:
    """Roles, schemas, and the tables of ``runtime`` and ``vault``."""
    bootstrap(
        settings.dsn(Role.ADMIN),
        {role: settings.role_password(role) for role in SERVING},
        statement_timeouts_s={role: settings.statement_timeout_s(role) for role in SERVING},
        replace_passwords=settings.embedded,
    )
    engine = make_engine(settings, Role.PROJECTOR, pool_size=1, name="set-up")
    try:
        create(engine)
        create_vault(engine)
    finally:
        engine.dispose()


def decided_topics(settings: Settings, admin: KafkaAdmin) -> tuple[TopicSpec, ...]:
    """The list of topics with this installation's partition count, which is decided now if it was not before.

    It is that of the topics that are there already, else of the settings.

    Raises:
        WrongInstallation: the database belongs to another Kafka cluster.
    """
    engine = make_engine(settings, Role.PROJECTOR, pool_size=1, name="set-up")
    try:
        there = admin.describe([Topic.REPOSITORIES])
        wanted = there[Topic.REPOSITORIES].partitions if there else settings.partitions
        with engine.begin() as connection:
            cluster_id = admin.cluster_id()
            kept = _decide(connection, CLUSTER_ID, cluster_id)
            if kept != cluster_id:
                raise WrongInstallation(
                    f"the database belongs to the Kafka cluster {kept}, the one that answers is {cluster_id}",
                    remedy="point MILLSTREAM_KAFKA_BOOTSTRAP and MILLSTREAM_DATABASE_URL at one installation, or give this one an empty database",
                )
            return all_topics(int(_decide(connection, PARTITIONS, str(wanted))))
    finally:
        engine.dispose()


def kept_topics(settings: Settings, admin: KafkaAdmin) -> tuple[TopicSpec, ...]:
    """The list of topics for looking only: nothing is decided where nothing was set up yet."""
    engine = make_engine(settings, Role.APP, pool_size=1, name="topics")
    try:
        return all_topics(partitions(engine))
    except (NotInstalled, sqlalchemy.exc.OperationalError, psycopg.OperationalError):
        there = admin.describe([Topic.REPOSITORIES])
        return all_topics(there[Topic.REPOSITORIES].partitions if there else settings.partitions)
    finally:
        engine.dispose()


def partitions(engine: Engine) -> int:
    """Partition count of the topics keyed by repository. Any role may ask. Raises NotInstalled."""
    with engine.connect() as connection:
        try:
            kept = _kept(connection, PARTITIONS)
        except sqlalchemy.exc.ProgrammingError as error:
            raise _not_installed() from error
    if kept is None:
        raise _not_installed()
    return int(kept)


def check_topics(settings: Settings, engine: Engine) -> tuple[TopicSpec, ...]:
    """The list of topics, once the cluster was seen to agree with it.

    Raises:
        TopicUnsound: a topic is missing, has other partitions or could lose events.
        NotInstalled: nothing was set up.
    """
    specs = all_topics(partitions(engine))
    with KafkaAdmin(settings) as admin:
        require(findings(specs, admin.describe([spec.name for spec in specs]), {}, {}))
    return specs


def refuse_unsound(settings: Settings) -> None:
    """For the start of every process that reads or writes the log.

    A cluster or a database that does not answer now is waited for by the process itself, so it is not refused.

    Raises TopicUnsound, NotInstalled.
    """
    engine = make_engine(settings, Role.APP, pool_size=1, name="topics")
    try:
        check_topics(settings, engine)
    except (KafkaError, sqlalchemy.exc.OperationalError, psycopg.OperationalError) as error:
        _log.warning("topics_not_checked", error=str(error))
    finally:
        engine.dispose()


def _decide(connection: Connection, key: str, value: str) -> str:
    """Keep ``value`` unless one is kept already; the one that is kept."""
    connection.execute(insert(installation).values(key=key, value=value).on_conflict_do_nothing())
    kept = _kept(connection, key)
    return value if kept is None else kept


def _kept(connection: Connection, key: str) -> str | None:
    found = connection.execute(
        sqlalchemy.select(installation.c.value).where(installation.c.key == key)
    ).scalar()
    return None if found is None else str(found)


def _not_installed() -> NotInstalled:
    return NotInstalled(
        "the database has no Millstream in it yet",
        remedy="millstream topics apply (millstream up does it too)",
    )
