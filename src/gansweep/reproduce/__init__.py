"""A published table as data: its cells, their runs, and whether ours agree with the paper's."""
