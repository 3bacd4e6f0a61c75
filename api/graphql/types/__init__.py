"""One module per family of types: bindables that answer what the SDL of the same name promises."""
