"""DICOM files → images: series of slices, files of many frames, single pictures."""
