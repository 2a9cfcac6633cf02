"""Imports OpenVINO without what it brings along; import it before openvino.

Its package `openvino_telemetry` reports each import to its maker over the network unless the user has opted out, and
its converter takes 50 ms. OpenVINO does without either where it is not there. The converter can be imported afterwards,
by its full name.
"""

import sys

_CONVERTER = "openvino.tools.ovc"

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # an import of it is an ImportError
if "openvino" not in sys.modules:
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]
    import openvino  # noqa: F401

    del sys.modules[_CONVERTER]
