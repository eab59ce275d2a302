"""Networks as firmware on emulated cores; see `benchmarks.firmware.__main__`."""
