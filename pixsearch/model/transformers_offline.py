"""Keeps transformers offline. Import this module before transformers and huggingface_hub.

Both read these settings when they are imported. Only `pixsearch model get` downloads models, without these libraries.
"""

import os

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # a thread that asks the Hub to convert pickles
}
