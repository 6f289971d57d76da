"""U-Net: the plain baseline with which every other method is compared."""
