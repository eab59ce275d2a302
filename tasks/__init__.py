"""Prefect tasks around the core: train, record, track, version."""
