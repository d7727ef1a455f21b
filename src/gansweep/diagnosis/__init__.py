"""Known failures of GAN training: find them in a record, and suggest what to try."""
