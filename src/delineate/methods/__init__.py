"""One folder per published method. No method imports another; what several share lives in `nn`."""
