"""Few-shot segmentation: slices of volumes, episodes, their training. Methods come in by the contract of `methods.episodic`."""
