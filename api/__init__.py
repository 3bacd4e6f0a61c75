"""How it is reached: GraphQL, HTTP, pages, command line."""
