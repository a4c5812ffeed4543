"""What of the vendor's SDK cannot be imported plainly: its docstrings have escapes that the compiler warns of."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():  # only the first import after an installation compiles, and so warns
    warnings.simplefilter("ignore")
    from jdcloud_sdk.services.vm.apis.CopyImagesRequest import CopyImagesParameters, CopyImagesRequest

__all__ = ["CopyImagesParameters", "CopyImagesRequest"]
