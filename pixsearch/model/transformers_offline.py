"""Keeps transformers offline. Import this module before transformers and huggingface_hub.

Both libraries read these settings when they are imported. Only `pixsearch model get` downloads models, and it does not
use either library.
"""

import os

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # otherwise, a thread would ask the Hub to convert pickles
}
