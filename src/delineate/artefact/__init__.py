"""Method + input specification + class table ⇄ one `model.safetensors`; checkpoints of other authors."""
