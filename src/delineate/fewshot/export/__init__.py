"""A few-shot model as two ONNX files: one looks at the support, the other segments by what that has kept."""
