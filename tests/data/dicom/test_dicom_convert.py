"""DICOM series as a data set in another form: the same voxels and masks as NIfTI, with no name of a file in its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from delineate.data.convert.convert import To, convert
from delineate.data.formats.registry import open_image
from planted import NAME_WORDS, ROOT_WORD, found_in, write_planted

pytest.importorskip("pydicom")
pytest.importorskip("nibabel")


@pytest.mark.parametrize("form", ["folders", "nnunet"])
def test_series_become_nifti(tmp_path: Path, form: To) -> None:
    root, out = write_planted(tmp_path, patients=2), tmp_path / "out"
    convert(root, form, out)
    images, masks = ("images", "masks") if form == "folders" else ("imagesTr", "labelsTr")
    (image,) = (out / images).glob("case_0001*")
    series, made = open_image(root / "images" / "Quatermain_0"), open_image(image)
    assert np.array_equal(series.read(), made.read())
    assert made.geometry is not None
    assert series.geometry is not None
    assert np.abs(made.geometry.corners() - series.geometry.corners()).max() < 1e-3
    (mask,) = (out / masks).glob("case_0001*")
    assert open_image(mask).read().sum() == open_image(root / "masks" / "Quatermain_0.nii.gz").read().sum() > 0
    assert not found_in(out, (*NAME_WORDS, ROOT_WORD))
