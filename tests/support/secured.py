"""A Kafka that asks for TLS and a password, and a PostgreSQL that takes no connection without TLS: as a company has them.

``python -m tests.support.secured`` starts such a pair and prints the settings by which programs and tests find it.
"""

import os
import signal
import ssl
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.embedded import kafka
from infra.embedded.ports import LOOPBACK
from tests.stack import embedded_stack
from tests.support.brokers import broker
from tests.support.proxy import Proxy

USER: Final = "millstream"
PASSWORD: Final = "only for tests"


@dataclass(frozen=True, slots=True)
class Secured:
    """How to reach the pair."""

    kafka_bootstrap: str
    database_url: str
    """Of a superuser, with ``sslmode=verify-full``."""
    ca_file: Path
    """Who signed both certificates."""

    def environ(self, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """The settings as variables. The mechanism may also be PLAIN."""
        return {
            "MILLSTREAM_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "MILLSTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "MILLSTREAM_KAFKA_SASL_MECHANISM": mechanism,
            "MILLSTREAM_KAFKA_USERNAME": USER,
            "MILLSTREAM_KAFKA_PASSWORD": PASSWORD,
            "MILLSTREAM_KAFKA_CA_FILE": str(self.ca_file),
            "MILLSTREAM_DATABASE_URL": self.database_url,
        }


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files of an authority made for one test, and of a server on loopback."""

    ca: Path
    certificate: Path
    key: Path

    @property
    def both(self) -> Path:
        """Key and certificate in one file, as Kafka wants them."""
        return self.key.with_name("server.pem")


def certificates(folder: Path) -> Certificates:
    """An authority, and a certificate for 127.0.0.1 and localhost that it signed; good for a day."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Millstream's tests")])
    began = datetime.now(UTC) - timedelta(hours=1)

    def builder(name: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(began)
            .not_valid_after(began + timedelta(days=2))
        )

    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    ca = (
        builder(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address(LOOPBACK))])
    server = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), key.public_key())
        .add_extension(names, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    made = Certificates(folder / "ca.pem", folder / "server.crt", folder / "server.key")
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for path, content in (
        (made.ca, ca.public_bytes(pem)),
        (made.certificate, server.public_bytes(pem)),
        (made.key, secret),
        (made.both, secret + server.public_bytes(pem)),
    ):
        path.touch(mode=0o600)
        path.write_bytes(content)
    return made


@contextmanager
def secured_pair(folder: Path, plain_database_url: str) -> Iterator[Secured]:
    """A broker of its own, and TLS before the PostgreSQL at this URL (its password stays asked for).

    Args:
        folder: empty; gets the broker's data and the certificates.
    """
    made = certificates(folder)
    parts = urlsplit(plain_database_url)
    if parts.port is None:
        raise ValueError("the database's URL names no port")
    options = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": USER,
        "sasl.password": PASSWORD,
        "ssl.ca.location": str(made.ca),
    }
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    scram = f"--add-scram=SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
    with (
        Proxy(parts.port, tls=context) as front,
        broker(
            folder / "broker",
            lambda port, controller: _properties(port, controller, made),
            options=options,
            format_with=(scram,),
        ) as port,
    ):
        query = dict(parse_qsl(parts.query)) | {"sslmode": "verify-full", "sslrootcert": str(made.ca)}
        netloc = f"{parts.username}:{quote(parts.password or '', safe='')}@{LOOPBACK}:{front.port}"
        url = urlunsplit(parts._replace(netloc=netloc, query=urlencode(query, quote_via=quote)))
        yield Secured(f"{LOOPBACK}:{port}", url, made.ca)


def _properties(port: int, controller_port: int, made: Certificates) -> Mapping[str, str]:
    """The embedded broker's settings, with its one listener for clients behind TLS and SASL."""
    usual = kafka.server_properties(port=port, controller_port=controller_port)
    login = f'required username="{USER}" password="{PASSWORD}"'
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        **usual,
        "listener.security.protocol.map": "BROKER:SASL_SSL,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.broker.scram-sha-512.sasl.jaas.config": f"{scram} {login};",
        "listener.name.broker.plain.sasl.jaas.config": f'{plain} {login} user_{USER}="{PASSWORD}";',
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(made.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(made.ca),
    }


def main() -> None:
    """Until it is interrupted."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with (
        tempfile.TemporaryDirectory(prefix="millstream-secured-") as folder,
        embedded_stack() as stack,
        secured_pair(Path(folder), stack.database_url) as pair,
    ):
        for name, value in pair.environ().items():
            sys.stdout.write(f"export {name}='{value}'\n")
        sys.stdout.write("export MILLSTREAM_TEST_STACK=external\n")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    os.environ.pop("MILLSTREAM_HOME", None)
    main()
