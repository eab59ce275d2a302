"""memnas compared with other searches at equal numbers of training images."""
