"""The table of devices."""

from memnas_core.devices import devices


def test_every_row_has_limits_and_a_source() -> None:
    assert len(devices()) >= 5
    for name, device in devices().items():
        assert name == device.name == name.lower()
        assert device.description
        assert device.source
        limits = (device.max_param_bytes, device.max_activation_bytes, device.max_total_bytes)
        # Memory of its own for either, or one memory for both.
        assert (None not in limits[:2] and limits[2] is None) or (limits[:2] == (None, None) and limits[2] is not None)
        assert all(limit >= 64 * 1024 for limit in limits if limit is not None)


def test_two_rows_as_their_datasheets_print_them() -> None:
    assert (devices()["stm32f746"].max_param_bytes, devices()["stm32f746"].max_activation_bytes) == (
        1024 * 1024,
        320 * 1024,
    )
    assert devices()["rp2040"].max_activation_bytes == 264 * 1024
