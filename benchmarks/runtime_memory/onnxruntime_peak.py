"""The bytes that ONNX Runtime allocates for one inference, counted from outside.

A child process runs with a library loaded before libc (`allocations.c`, compiled when first needed). The library counts
aligned allocations, from which ONNX Runtime takes all tensors and scratch memory. The arena is off, since it takes
memory in powers of two and keeps it. The input belongs to the caller and is not counted; the result is counted. One
thread runs. The third run is the one counted, as the memory pattern, if it is on, has been found by then.

Run as a script, this module is that child: it reads lines of JSON (path of a model, optimisation level, memory pattern
on or off) and answers each with the bytes.
"""

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

RUNS = 3


@dataclass(frozen=True, slots=True)
class OnnxRuntimeSettings:
    """Settings of ONNX Runtime.

    Attributes:
        level: Graph optimisation level: `ALL` is the default, `BASIC` keeps convolution and ReLU apart.
        pattern: Whether all tensors get one piece of memory, at offsets found in a first run (the default).
    """

    level: str
    pattern: bool


class OnnxRuntimeProcess:
    """The child process, as a context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="memnas-allocations-")
        library = Path(self._folder.name, "allocations.so")
        source = Path(__file__).with_name("allocations.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-fno-builtin", "-o", library, source], check=True)
        self._child = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"LD_PRELOAD": str(library)},
        )

    def __enter__(self) -> "OnnxRuntimeProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child.stdin is not None, "it was opened as a pipe"
        self._child.stdin.close()
        self._child.wait()
        self._folder.cleanup()

    def peak_bytes(self, model: Path, settings: OnnxRuntimeSettings) -> int:
        """Return the most bytes that one inference holds at a time.

        Raises:
            RuntimeError: The child process ended.
        """
        assert self._child.stdin is not None, "it was opened as a pipe"
        assert self._child.stdout is not None, "it was opened as a pipe"
        self._child.stdin.write(json.dumps([str(model), settings.level, settings.pattern]) + "\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            raise RuntimeError(f"{model}: ONNX Runtime's process ended with {self._child.wait()}")
        return int(answer)


def _serve() -> None:
    import numpy as np
    import onnxruntime

    library = ctypes.CDLL(None)
    library.watch_peak.restype = ctypes.c_size_t
    for line in sys.stdin:
        path, level, pattern = json.loads(line)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
        options.enable_mem_pattern = pattern
        options.enable_cpu_mem_arena = False
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (entry,) = session.get_inputs()
        image = np.zeros(entry.shape, np.float32)
        peak = 0
        for _ in range(RUNS):
            library.watch_start()
            session.run(None, {entry.name: image})
            peak = library.watch_peak()
        print(peak, flush=True)


if __name__ == "__main__":
    _serve()
