"""MFEL: segmentation and reconstruction of the image side by side, exchanging features at every scale."""
