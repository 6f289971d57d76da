"""Foreign checkpoints: unwrapped, recognized by the method, saved as an artefact; a pickle is never executed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from delineate.artefact.foreign import import_checkpoint, read_state
from delineate.artefact.format import load
from delineate.common.errors import ArtefactError, RecipeError
from delineate.methods import registry
from delineate.methods.contract import ImportedModel
from micro_method import Micro, MicroOptions

pytestmark = pytest.mark.usefixtures("micro")


def weights() -> dict[str, torch.Tensor]:
    return Micro(MicroOptions(), classes=1, in_channels=3).state_dict()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {"state_dict": state}, "optimizer": {"lr": 0.1}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"model": {f"module.module.{name}": value for name, value in state.items()}},
    ],
    ids=["plain", "state_dict", "nested", "module", "module twice"],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_wrappers(tmp_path: Path, wrap, legacy: bool):
    state = weights()
    torch.save(wrap(state), tmp_path / "theirs.pth", _use_new_zipfile_serialization=not legacy)
    result = import_checkpoint("micro", tmp_path / "theirs.pth", tmp_path / "ours.safetensors")
    assert result.path == tmp_path / "ours.safetensors"
    assert result.description == "a micro checkpoint"
    artefact = load(result.path)
    for name, value in artefact.method.state_dict().items():
        assert torch.equal(value, state[name])
    assert artefact.spec.channels == "bgr"
    assert artefact.spec.size == (32, 32)
    assert artefact.provenance["imported"]["file"] == "theirs.pth"


def test_into_a_folder(tmp_path: Path):
    torch.save(weights(), tmp_path / "theirs.pth")
    assert (
        import_checkpoint("micro", tmp_path / "theirs.pth", tmp_path / "out").path == tmp_path / "out/model.safetensors"
    )


def test_a_part_of_a_model_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def part(state: dict[str, torch.Tensor]) -> ImportedModel:
        method = Micro(MicroOptions(), classes=3, in_channels=3)
        return ImportedModel(method, "rgb", (16, 16), "an encoder", complete=False)

    monkeypatch.setattr("micro_method.micro_checkpoint", part)
    torch.save(weights(), tmp_path / "theirs.pth")
    result = import_checkpoint("micro", tmp_path / "theirs.pth", tmp_path)
    assert not result.complete
    artefact = load(tmp_path)
    assert not artefact.complete
    assert artefact.classes.names == ("background", "label 1", "label 2")


def test_the_methods_own_error_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(state: dict[str, torch.Tensor]) -> ImportedModel:
        raise ArtefactError("parameter 'x' is missing")

    monkeypatch.setattr("micro_method.micro_checkpoint", refuse)
    torch.save(weights(), tmp_path / "theirs.pth")
    with pytest.raises(ArtefactError, match=r"theirs\.pth: parameter 'x' is missing"):
        import_checkpoint("micro", tmp_path / "theirs.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Harmful:
    """Would make a file if it were unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_nothing_in_a_pickle_is_executed(tmp_path: Path):
    target = tmp_path / "executed"
    torch.save({"state_dict": weights(), "extra": Harmful(target)}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Harmful(target)))
    for name in ("a.pth", "b.pth"):
        with pytest.raises(ArtefactError, match="more than weights"):
            read_state(tmp_path / name)
        with pytest.raises(ArtefactError, match="pickled"):
            load(tmp_path / name)
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04broken"])
def test_no_checkpoint(tmp_path: Path, content: bytes):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ArtefactError, match=r"x\.pth") as caught:
        read_state(tmp_path / "x.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, torch.zeros(2), {"a": torch.zeros(1), "b": "text"}])
def test_no_state_dict(tmp_path: Path, content: object):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ArtefactError, match="holds no state dict"):
        read_state(tmp_path / "x.pth")


def test_truncated(tmp_path: Path):
    torch.save({"weight": torch.from_numpy(np.arange(10000.0))}, tmp_path / "x.pth")
    whole = (tmp_path / "x.pth").read_bytes()
    (tmp_path / "x.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtefactError, match="truncated"):
        read_state(tmp_path / "x.pth")


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(RecipeError, match="unknown method 'mikro': did you mean 'micro'"):
        import_checkpoint("mikro", tmp_path / "x.pth", tmp_path)
    with pytest.raises(ArtefactError, match="does not exist"):
        import_checkpoint("micro", tmp_path / "x.pth", tmp_path)
    monkeypatch.delitem(registry.CHECKPOINTS, "micro")
    with pytest.raises(ArtefactError, match=r"knows no checkpoints of other code.* condseg"):
        import_checkpoint("micro", tmp_path / "x.pth", tmp_path)
