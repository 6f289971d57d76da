"""MS-LKSeg: multi-semantic synergy in the encoder, large kernels on the skip connections."""
