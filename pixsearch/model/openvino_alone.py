"""Imports OpenVINO without its telemetry and its converter. Import this module before openvino.

The package `openvino_telemetry` reports every import over the network unless the user has opted out, and the converter
takes 50 ms to import. OpenVINO works without either. The converter can still be imported afterwards by its full name.
"""

import sys

_CONVERTER = "openvino.tools.ovc"

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # importing it raises ImportError
if "openvino" not in sys.modules:
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]
    import openvino  # noqa: F401

    del sys.modules[_CONVERTER]
