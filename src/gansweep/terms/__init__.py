"""Terms that several models share: losses, penalties, augmentation and schedules."""
