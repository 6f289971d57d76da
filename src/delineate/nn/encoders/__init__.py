"""Encoders (backbones): timm networks as feature pyramids, and where their pretrained weights come from."""
