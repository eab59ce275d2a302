"""Throughput of trainings on Ray, compared with trainings in processes."""
