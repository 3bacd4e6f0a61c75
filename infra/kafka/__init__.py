"""Typed adapters around the Kafka clients: administration, reading, publishing."""
