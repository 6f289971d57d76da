"""U-Net: the plain baseline that every other method has to beat."""
