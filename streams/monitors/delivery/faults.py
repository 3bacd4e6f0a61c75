"""Faults of this house that meet one delivery: its results cannot be read, the vault does not open, a table says no.

None of them may end the process, which would send all others of the batch again. What is told to people names nothing of the
house; the rest is for the operators' log.
"""

from typing import Final

import msgspec
import psycopg
import sqlalchemy.exc

from infra.blobs import BlobCorrupt, BlobMissing, BlobStoreError
from infra.secret_file import SecretExposed
from infra.vault_key import VaultKeyWrong
from streams.monitors.delivery.outcomes import Refused
from streams.transient import is_transient

_VAULT: Final = (VaultKeyWrong, SecretExposed)
_DATABASE: Final = (psycopg.Error, sqlalchemy.exc.SQLAlchemyError)


def refusal_of(error: Exception) -> Refused | None:
    """What the delivery came to by ``error``; None: it is no such fault, or one of the whole database, which is waited for."""
    match error:
        case BlobMissing():
            return Refused("results-missing", "the results are not in the blob store", is_final=True)
        case BlobCorrupt() | msgspec.MsgspecError():
            return Refused(
                "results-unreadable",
                "the results in the blob store are damaged: nobody can read them",
                is_final=True,
            )
        case BlobStoreError() | OSError():
            return Refused("store-fault", "the store of results or secrets cannot be read now")
        case _ if isinstance(error, _VAULT):
            return Refused("vault-closed", "the vault of secrets does not open: an operator has to see to it")
        case _ if isinstance(error, _DATABASE) and not is_transient(error):
            return Refused("database-fault", "the database refused what this delivery needs to know")
    return None
