"""Lets transformers load what is on disk and nothing else; import it before transformers and huggingface_hub.

Both read these settings when they are imported. `pixsearch model get` alone opens the network.
"""

import os

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # a thread that asks the hub to convert pickles
}
