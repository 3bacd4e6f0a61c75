"""A real Kafka and a real PostgreSQL as child processes, without Docker, root or configuration (DESIGN section 10)."""
