"""Plain HTTP around GraphQL and the pages: bodies, headers, health, metrics, login."""
