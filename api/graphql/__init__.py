"""GraphQL, schema first: ``*.graphql`` says what can be asked, a module per type says how it is answered.

``execute`` runs one operation (limits, waits, one snapshot), ``operation`` is what resolvers share, ``batches`` turns
many small questions into few statements.
"""
