"""Network layers and whole networks: generators, discriminators and their blocks."""
