"""Masks as DICOM keeps them: segmentation objects (SEG) and outlines of radiotherapy (RTSTRUCT), written and read."""
