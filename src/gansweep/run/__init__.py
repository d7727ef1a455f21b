"""One training run: build, train, resume, evaluate and track it."""
