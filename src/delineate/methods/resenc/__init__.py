"""ResEnc: a residual-encoder U-Net in the manner of nnU-Net, which plans itself from the data."""
