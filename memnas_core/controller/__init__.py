"""The controllers, which predict before any training how good a candidate will be."""
