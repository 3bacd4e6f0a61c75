"""One description of how to log in to Kafka, in the words of each client library."""

import ssl

from infra.settings import KafkaSecurity

_CONFLUENT = {
    "sasl.mechanism": "mechanism",
    "sasl.username": "username",
    "sasl.password": "password",
    "ssl.ca.location": "ca_file",
    "ssl.certificate.location": "certificate_file",
    "ssl.key.location": "key_file",
    "ssl.key.password": "key_password",
}
_KAFKA_PYTHON = {
    "sasl_mechanism": "mechanism",
    "sasl_plain_username": "username",
    "sasl_plain_password": "password",
    "ssl_cafile": "ca_file",
    "ssl_certfile": "certificate_file",
    "ssl_keyfile": "key_file",
    "ssl_password": "key_password",
}


def confluent_options(security: KafkaSecurity) -> dict[str, str]:
    """Options of confluent-kafka."""
    return {"security.protocol": security.protocol} | _named(security, _CONFLUENT)


def kafka_python_options(security: KafkaSecurity) -> dict[str, str]:
    """Options of kafka-python."""
    return {"security_protocol": security.protocol} | _named(security, _KAFKA_PYTHON)


def ssl_context(security: KafkaSecurity) -> ssl.SSLContext | None:
    """What aiokafka (and so Faust) takes; None where the protocol has no TLS."""
    if "SSL" not in security.protocol:
        return None
    context = ssl.create_default_context(cafile=_text(security.ca_file))
    if security.certificate_file is not None:
        context.load_cert_chain(security.certificate_file, security.key_file, security.key_password)
    return context


def _named(security: KafkaSecurity, names: dict[str, str]) -> dict[str, str]:
    found = {option: _text(getattr(security, field)) for option, field in names.items()}
    return {option: value for option, value in found.items() if value is not None}


def _text(value: object) -> str | None:
    return None if value is None else str(value)
