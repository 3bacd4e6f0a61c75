"""What is known: one package per projection, the runner that keeps them, and the narrow reads over them."""
