"""One file for each score: features or samples in, numbers out."""
