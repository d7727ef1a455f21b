"""What a result means: status, objective, comparison, ranking and verdict."""
