"""How long kernels take to compile, without a GPU: ``make compile-times ARGS=lookups``.

JAX's CUDA plug-in exports the compiler of Mosaic kernels down to machine code. It asks the driver
for the device and loads what it made: a stand-in for the driver, built with a C compiler, tells of
compute capability 9.0 and loads nothing. Arguments are parts of the names in ``test_compile_time``.
With ``--each`` the kernels of a shared launch are compiled one by one: what
``together.Kernel.code`` of each is fitted to. A developer's tool: it rests on what the plug-in does
not document.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

DRIVER = r"""
int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *v) { *v = 13000; return 0; }
int cuDeviceGet(int *d, int i) { *d = 0; return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuCtxGetDevice(int *d) { *d = 0; return 0; }
int cuCtxGetCurrent(void **c) { *c = (void *)1; return 0; }
int cuDeviceGetAttribute(int *v, int which, int d) { *v = which == 75 ? 9 : 0; return 0; }
int cuGetErrorName(int e, const char **s) { *s = "error"; return 0; }
int cuGetErrorString(int e, const char **s) { *s = "of the stand-in"; return 0; }
int cuModuleLoadData(void **m, const void *image) { *m = (void *)1; return 0; }
int cuModuleUnload(void *m) { return 0; }
int cuModuleGetFunction(void **f, void *m, const char *name) { *f = (void *)1; return 0; }
int cuFuncSetAttribute(void *f, int which, int v) { return 0; }
int cuModuleGetGlobal_v2(void **p, void *n, void *m, const char *name) { return 500; }
"""
NEEDED = ("jax_plugins.xla_cuda13", "jax_cuda13_plugin", "nvidia.cu13")


def _folder(package: str) -> Path:
    """Where a package is."""
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        found = None
    if found is None or not found.submodule_search_locations:
        raise SystemExit(
            f"packages: expected {', '.join(NEEDED)}, got no {package} (make compile-times "
            "installs jax-cuda13-plugin, jax-cuda13-pjrt and nvidia-cuda-nvcc)"
        )
    return Path(next(iter(found.submodule_search_locations)))


def compiler() -> Callable[[bytes], None]:
    """What compiles a module of a Mosaic kernel."""
    plugin, runtime, toolkit = map(_folder, NEEDED)
    os.environ["MOSAIC_GPU_RUNTIME_LIB_PATH"] = str(runtime / "libmosaic_gpu_runtime.so")
    os.environ["MOSAIC_GPU_CUDA_ROOT"] = str(toolkit)
    os.environ["PATH"] = f"{toolkit / 'bin'}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "libcuda.so.1"
        build = ["cc", "-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1", "-xc", "-"]
        subprocess.run([*build, "-o", str(library)], input=DRIVER, text=True, check=True)
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)  # who asks for the driver later finds it
    made = ctypes.CDLL(str(plugin / "xla_cuda_plugin.so")).MosaicGpuCompile
    made.argtypes, made.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p

    def run(module: bytes) -> None:
        if not made(module, len(module)):
            raise RuntimeError("a kernel does not compile")

    return run


def seconds(run: Callable[..., Any], shapes: Sequence[Any], compile_: Any) -> tuple[float, float]:
    """To trace and lower a computation, and to compile its kernels."""
    import jax

    from jaxstark.resident import kernels

    jax.clear_caches()
    start = time.perf_counter()
    traced = jax.jit(lambda *arguments: run(*arguments)).trace(*shapes)
    lowered = traced.lower(lowering_platforms=("cuda",))
    found = kernels.kernels(lowered)
    middle = time.perf_counter()
    for kernel in found:
        compile_(kernel.attributes["module"])
    return middle - start, time.perf_counter() - middle


def main(arguments: Sequence[str]) -> None:
    os.environ["JAX_PLATFORMS"] = "cpu"
    compile_ = compiler()
    from jaxstark.pallas import launch, together
    from tests.gpu import test_compile_time as kernels

    each = "--each" in arguments
    wanted = [argument for argument in arguments if argument != "--each"]
    chosen = [n for n in kernels.KERNELS if not wanted or any(part in n for part in wanted)]
    if not chosen:
        raise SystemExit(f"kernels: expected parts of their names, got {' '.join(wanted)}")
    seconds(*kernels.KERNELS["to_storage"], compile_)  # what the first one loads
    together_as_is = together.run_together
    for name in chosen:
        shared: list[list[tuple[str, int]]] = []

        def count(of: Sequence[Any], *, interpret: bool, into: Any = shared) -> Any:
            into.append([(launch.name_of(kernel.body), kernel.code) for kernel in of])
            return together_as_is(of, interpret=interpret)

        kernels.run_launch = count
        lower, compiled = seconds(*kernels.KERNELS[name], compile_)
        kernels.run_launch = together_as_is
        total = lower + compiled
        units = sum(code for some in shared for _, code in some)
        print(f"{total:6.2f} s = {lower:.2f} to lower + {compiled:.2f}  {name}", end="")
        print(f", {units} units, {1e3 * total / units:.1f} ms each" if units else "", flush=True)
        for i, (body, code) in enumerate(shared[0] if each and shared else ()):

            def alone(of: Sequence[Any], *, interpret: bool, i: int = i) -> Any:
                return together_as_is([of[i]], interpret=interpret)

            kernels.run_launch = alone
            own = sum(seconds(*kernels.KERNELS[name], compile_))
            kernels.run_launch = together_as_is
            print(f"       {own:5.2f} s, {code} units, {1e3 * own / code:.1f} ms each  {body}")


if __name__ == "__main__":
    main(sys.argv[1:])
