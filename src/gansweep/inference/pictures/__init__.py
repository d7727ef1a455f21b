"""What a trained run makes of the pictures of a user, or says of them."""
