"""The search engine: query language, matcher v1, and the git engine that counts over history (DESIGN section 8)."""
