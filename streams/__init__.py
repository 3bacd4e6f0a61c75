"""Who works: one package per system, pure logic beside thin agents. ``search`` is the search engine."""
