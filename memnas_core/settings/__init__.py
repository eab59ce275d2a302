"""What a search is told: the settings, their file, and the devices that they name."""
