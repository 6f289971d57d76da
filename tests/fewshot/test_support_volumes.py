"""Volumes as support: which slices are shown, on which axis and with which values; queries are volumes, too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.registry import check_same_grid
from delineate.data.loading.samples import open_samples
from delineate.fewshot.given_support import given_support
from delineate.fewshot.predictor import FewShotPredictor
from delineate.fewshot.protocol import ProtocolSettings, make_episodes
from delineate.fewshot.support import Support
from delineate.fewshot.support_volumes import SupportVolumes
from delineate.inference.files import predict_files
from delineate.methods.contract import MethodOptions
from fewshot.prototype_method import Prototype
from small_volumes import reorder, slice_pixels, write_volumes

nibabel = pytest.importorskip("nibabel")
DEPTH = 7
SPEC = InputSpec(channels="gray", size=(48, 48), axis=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two volumes, of which the second is stored in another order of axes, backwards."""
    root = write_volumes(tmp_path_factory.mktemp("support") / "set", patients=2, depth=DEPTH)
    reorder(root, "case_01", (2, 1, 0), (0, 2))
    return root


def shown(given: Support | SupportVolumes, spec: InputSpec = SPEC) -> Support:
    assert isinstance(given, SupportVolumes)
    return given.for_model(spec)


def test_three_slices_of_each_class_are_shown(folder: Path) -> None:
    """Class 1 is in slices 1 … 6, class 2 in 2 … 5, class 3 in 5 and 6: at 1/6, 1/2 and 5/6 of each."""
    support = shown(given_support(folder, [], []))
    assert len(support.classes.names) == 4
    expected = sorted({2, 4, 6} | {2, 4, 5} | {5, 6})
    count = len(expected)
    assert support.planes[:count] == tuple(expected)
    assert support.planes[count:] == tuple(DEPTH - 1 - at for at in expected), "numbered as the file has them"
    assert len(support.images) == 2 * count
    for first, second in zip(support.masks[:count], support.masks[count:], strict=True):
        assert set(np.unique(first)) == set(np.unique(second))
    assert {image.dtype for image in support.images} == {np.dtype(np.uint8)}


def test_slices_are_cut_and_read_as_the_model_wants(folder: Path) -> None:
    window = SPEC.model_copy(update={"axis": 0, "intensity": "window", "window_level": 1300.0, "window_width": 2000.0})
    support = shown(given_support(None, *pair(folder, 0)), window)
    assert {image.shape for image in support.images} == {(48, DEPTH)}
    assert support.images[0].dtype == np.float32
    assert support.images[0].max() > 255, "the file's own values"


def pair(folder: Path, number: int) -> tuple[list[Path], list[Path]]:
    return [folder / f"images/case_{number:02d}.nii.gz"], [folder / f"masks/case_{number:02d}.nii.gz"]


def test_a_query_without_directions_is_told(folder: Path, tmp_path: Path) -> None:
    """Slices of arrays may lie turned against those of a NIfTI."""
    model = FewShotPredictor(Artefact(Prototype(MethodOptions(), classes=1, in_channels=1), SPEC, ClassTable()), "cpu")
    placed = shown(given_support(None, *pair(folder, 0)))
    image, mask = (np.asarray(nibabel.load(files[0]).dataobj).transpose() for files in pair(folder, 0))
    np.savez(tmp_path / "a.npz", image=image, label=mask)
    arrays = [Path(f"{tmp_path}/a.npz#{name}@volume") for name in ("image", "label")]
    stacked = shown(given_support(None, arrays[:1], arrays[1:]))
    assert (placed.placed, stacked.placed) == (True, False)
    queries = {"nifti": pair(folder, 0)[0][0], "array": arrays[0]}
    for support, odd, words in (
        (
            placed,
            "array",
            "it does not tell where in the patient its voxels lie, and the volumes that the model was shown did:",
        ),
        (
            stacked,
            "nifti",
            "it tells where in the patient its voxels lie, and the volumes that the model was shown did not:",
        ),
    ):
        ready = model.condition_on(support)
        for name, query in queries.items():
            (done,) = predict_files(ready, [query], tmp_path / f"{odd} {name}").files
            assert (done.remark is not None and done.remark.startswith(words)) == (name == odd)


def test_a_volume_is_segmented_by_a_volume(folder: Path, tmp_path: Path) -> None:
    model = FewShotPredictor(Artefact(Prototype(MethodOptions(), classes=1, in_channels=1), SPEC, ClassTable()), "cpu")
    support = shown(given_support(None, *pair(folder, 0)))
    (query,), (reference,) = pair(folder, 1)
    (done,) = predict_files(model.condition_on(support), [query], tmp_path / "out").files
    assert done.error is None
    mask = tmp_path / "out/case_01.nii.gz"
    check_same_grid(query, mask)
    found, true = (np.asarray(nibabel.load(path).dataobj) == 2 for path in (mask, reference))
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.9, "the brightest class"
    support.save(tmp_path / "out")
    told = json.loads((tmp_path / "out/support.json").read_text())["support"]
    assert [one["slice"] for one in told] == list(support.planes)


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the model takes the channels T1, FLAIR"):
        shown(given_support(folder, [], []), SPEC.model_copy(update={"channels": ("T1", "FLAIR")}))
    image, mask = pair(folder, 0)
    with pytest.raises(DataError, match="volumes or of pictures, not of both"):
        given_support(None, [*image, tmp_path / "a.png"], [*mask, tmp_path / "a_mask.png"])
    empty = nibabel.load(mask[0])
    nibabel.save(nibabel.Nifti1Image(np.zeros(empty.shape, np.uint8), empty.affine), tmp_path / "none.nii.gz")
    with pytest.raises(DataError, match=r"no class is labeled|empty|only"):
        shown(given_support(None, image, [tmp_path / "none.nii.gz"]))


def test_frames_of_a_patient_are_one_group(tmp_path: Path) -> None:
    """Frames of a file of four axes are volumes; those of the patient in the support are no queries."""
    (tmp_path / "set").mkdir()
    rows = ["image,mask,group,id,split"]
    for patient in range(4):
        frames = [[slice_pixels(2 * patient + frame, at, 5) for at in range(5)] for frame in range(2)]
        for name, which in (("", 0), ("_seg", 1)):
            voxels = np.stack([np.stack([pair[which] for pair in one], 2) for one in frames], 3).astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 5, 1])), tmp_path / f"set/p{patient}{name}.nii.gz")
        split = ("train", "val", "test", "test")[patient]
        rows += [
            f"p{patient}.nii.gz#{at},p{patient}_seg.nii.gz#{at},p{patient},p{patient}_{at},{split}" for at in range(2)
        ]
    (tmp_path / "set/cases.csv").write_text("\n".join(rows) + "\n")
    data = open_samples(tmp_path / "set/cases.csv", cache_folder=tmp_path / "cache")
    made = make_episodes(data, ProtocolSettings(protocol="chunk3"), name="set", stack="auto")
    shown = {one.volume[:2] for episode in made.episodes for one in episode.support}
    asked = {episode.query[:2] for episode in made.episodes}
    assert len(shown) == len(asked) == 1
    assert shown | asked == {"p2", "p3"}
    assert len(made.episodes) == 2 * len(made.labels), "both frames are queries"
