"""PostgreSQL: roles, connections, and the ``runtime`` schema."""
