"""One kernel launch for all parameters: Numba on a CPU, Triton on a GPU."""
