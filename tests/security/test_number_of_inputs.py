"""How many malformed inputs are tried, beside those that hypothesis makes up."""

from tests.security import malformed_networks, malformed_records, malformed_settings, test_malformed_images

LEAST = 350  # SECURITY.md says so


def test_there_are_enough() -> None:
    tables = (malformed_settings.CASES, malformed_records.CASES, malformed_networks.CASES)
    images = (test_malformed_images.SPOILT, test_malformed_images.IDX)
    counts = [len(set(table)) for table in tables] + [len(table) for table in images]
    assert sum(counts) >= LEAST
