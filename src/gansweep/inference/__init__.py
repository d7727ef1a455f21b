"""What a trained run is used for, such as generating samples."""
