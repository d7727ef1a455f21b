"""What a sweep tries next: search space, samplers, pruners and populations."""
