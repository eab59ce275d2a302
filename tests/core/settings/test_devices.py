"""The table of devices."""

from memnas_core.settings.devices import devices


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


def test_microcontrollers_as_their_makers_print_them() -> None:
    """Flash and RAM in KB of 1,024 bytes, as the sources print them."""
    printed = {
        "stm32f411": (512, 128),
        "stm32f746": (1024, 240 + 16 + 64),  # SRAM1, SRAM2, DTCM
        "nrf52840": (1024, 256),
        "rp2040": (2 * 1024, 4 * 64 + 2 * 4),  # six banks
        "esp32": (4 * 1024, 520),
    }
    found = {name: device for name, device in devices().items() if device.max_total_bytes is None}
    assert found.keys() == printed.keys()
    for name, (flash, ram) in printed.items():
        assert (found[name].max_param_bytes, found[name].max_activation_bytes) == (flash * 1024, ram * 1024), name


def test_microcontrollers_have_the_cores_that_their_makers_print() -> None:
    """Of a device with several kinds of core, the one that runs the network."""
    found = {name: device.core for name, device in devices().items() if device.max_total_bytes is None}
    assert found == {
        "stm32f411": "cortex-m4",
        "stm32f746": "cortex-m7",
        "nrf52840": "cortex-m4",
        "rp2040": "cortex-m0+",
        "esp32": "Xtensa LX6",
    }


def test_phones_have_the_caches_of_their_processors() -> None:
    total = {name: device.max_total_bytes for name, device in devices().items() if device.max_total_bytes is not None}
    assert total == {"iphone6": (1 + 4) * 2**20, "pixel1": (1024 + 512) * 2**10, "note8": 2 * 2**20}
