"""Everything that needs a model: load, prompt, answer, units, suppression, sweep."""

import os

# Read by huggingface_hub when it is first imported, hence set before any module here imports a model library: from here
# on nothing is asked of any network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
