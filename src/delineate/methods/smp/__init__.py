"""Networks of segmentation_models.pytorch, by the names `smp:ARCH/ENCODER`, where that package is installed."""
