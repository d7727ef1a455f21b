"""How the trials of a sweep get done: study, workers and their children."""
