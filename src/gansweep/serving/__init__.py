"""Pages over HTTP on this machine alone: who may ask, and a server that says nothing of itself."""
