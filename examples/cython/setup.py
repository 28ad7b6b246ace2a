"""Builds the extension: `python setup.py build_ext --inplace`, with Cython and setuptools."""

from pathlib import Path

from setuptools import Extension, setup

import ringbus

library = Path(ringbus.get_library())
total = Extension(
    "total",
    ["total.pyx"],
    include_dirs=[ringbus.get_include()],
    extra_objects=[str(library)],
    runtime_library_dirs=[str(library.parent)],
)

setup(name="total", ext_modules=[total])
