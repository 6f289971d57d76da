"""The artefact: what is saved comes back bit for bit, and every unusable file is refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from delineate.artefact import format as artefacts
from delineate.artefact.inherit import inherit
from delineate.artefact.postprocessing import Postprocessing, StructureRule
from delineate.common.errors import ArtefactError, DelineateError
from delineate.data.core.class_codes import ClassCode, Code
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.methods import registry
from micro_method import Micro, MicroOptions

pytestmark = pytest.mark.usefixtures("micro")
TINY_UNET = {"encoder": {"name": "resnet10t"}, "decoder_channels": [8, 8, 8, 8, 8]}


def make(**options: object) -> artefacts.Artefact:
    method = registry.build("micro", classes=1, in_channels=3, options=options)
    method(torch.rand(2, 3, 8, 8))  # moves the batch statistics, which must be stored too
    return artefacts.Artefact(
        method=method,
        spec=InputSpec(size=(24, 32), fit="letterbox"),
        classes=ClassTable(names=("background", "lésion")),
        threshold=0.4,
        temperature=1.5,
        postprocessing=Postprocessing(dimensions=2, rules=(StructureRule(name="lésion", largest=True),)),
        scores={"dice": 0.91},
        provenance={"seed": 3},
    )


@pytest.mark.parametrize("options", [{}, {"kernel": 5}, {"tied": True}])
def test_round_trip_is_bit_equal(tmp_path: Path, options: dict[str, object]) -> None:
    original = make(**options)
    artefacts.save(tmp_path / "model.safetensors", original)
    state = torch.random.get_rng_state()
    for path in (tmp_path, tmp_path / "model.safetensors", str(tmp_path)):
        read = artefacts.load(path)
        for name, value in original.method.state_dict().items():
            assert torch.equal(value, read.method.state_dict()[name])
        assert read.method.options == original.method.options
        assert not read.method.training
        for attribute in ("spec", "classes", "threshold", "temperature", "postprocessing", "scores", "provenance"):
            assert getattr(read, attribute) == getattr(original, attribute)
    assert torch.equal(state, torch.random.get_rng_state()), "loading must not disturb the caller's random numbers"


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    original = make()
    artefacts.save(tmp_path / "a.safetensors", original)
    artefacts.save(tmp_path / "b.safetensors", original)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2, "no temporary file is left"


def test_non_contiguous_weights(tmp_path: Path) -> None:
    original = make()
    original.method.to(memory_format=torch.channels_last)
    artefacts.save(tmp_path / "m.safetensors", original)
    assert torch.equal(artefacts.load(tmp_path / "m.safetensors").method.conv.weight, original.method.conv.weight)


def test_contradictions_are_not_written(tmp_path: Path) -> None:
    wrong = make()
    wrong.classes = ClassTable(names=("a", "b", "c"))
    with pytest.raises(ArtefactError, match="1 outputs but the class table"):
        artefacts.save(tmp_path / "m.safetensors", wrong)
    wrong = make()
    wrong.spec = InputSpec(channels="gray")
    with pytest.raises(ArtefactError, match="3 channels"):
        artefacts.save(tmp_path / "m.safetensors", wrong)
    wrong = make()
    wrong.scores = {"dice": float("nan")}
    with pytest.raises(ArtefactError, match="header"):
        artefacts.save(tmp_path / "m.safetensors", wrong)
    assert not list(tmp_path.iterdir())


def rewrite(file: Path, **changes: object) -> None:
    """Save the artefact again with an edited header."""
    with safe_open(file, framework="pt") as stream:
        header = json.loads(stream.metadata()[artefacts.ENTRY])
    text = json.dumps({**header, **changes})
    save_file(artefacts.read_tensors(file), file, metadata={artefacts.ENTRY: text})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "format 99, this version reads up to 5; update"),
        ({"format": None}, "damaged"),
        ({"method": "micrx"}, "unknown method 'micrx': did you mean 'micro'.*install the package"),
        ({"options": {"kernel": "many"}}, "kernel"),
        ({"options": {"kernel": 5}}, "'conv.weight' has shape \\(1, 3, 3, 3\\), expected \\(1, 3, 5, 5\\)"),
        ({"options": {"tied": True}}, "'twin.weight' is missing and 1 more"),
        ({"threshold": 7}, "threshold"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_header_faults(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    file = tmp_path / "model.safetensors"
    artefacts.save(file, make())
    rewrite(file, **changes)
    with pytest.raises(ArtefactError, match=message) as caught:
        artefacts.load(file)
    assert "\n" not in str(caught.value)
    assert "model.safetensors" in str(caught.value)


def test_left_over_parameter(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    artefacts.save(file, make(tied=True))
    rewrite(file, options={})
    with pytest.raises(ArtefactError, match=r"'twin\.\w+' is left over"):
        artefacts.load(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (b"\x10\x00", "truncated"),
        (b"PK\x03\x04 and so on", "pickled.*delineate import"),
        (b"\x80\x02\x8a\x0al\xfc", "pickled.*delineate import"),
        (b"\x89PNG\r\n\x1a\n and so on, longer", "not a safetensors file"),
    ],
)
def test_not_an_artefact(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(content)
    with pytest.raises(ArtefactError, match=message):
        artefacts.load(file)


def test_truncated_absent_and_foreign(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    artefacts.save(file, make())
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    with pytest.raises(ArtefactError, match="truncated"):
        artefacts.load(file)
    save_file({"weight": torch.zeros(1)}, file)
    with pytest.raises(ArtefactError, match="no Delineate header"):
        artefacts.load(file)
    with pytest.raises(ArtefactError, match="does not exist"):
        artefacts.load(tmp_path / "none.safetensors")
    (tmp_path / "run").mkdir()
    with pytest.raises(ArtefactError, match="holds no model"):
        artefacts.load(tmp_path / "run")


def test_unwritable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DelineateError, match="cannot write"):
        artefacts.save(tmp_path / "file" / "model.safetensors", make())


def test_header_length_that_looks_like_a_pickle(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    original = make()
    artefacts.save(file, original)
    shortest = int.from_bytes(file.read_bytes()[:8], "little")
    wanted = next(length for length in (0x280, 0x380, 0x480, 0x580, 0x680, 0x780) if length > shortest + 40)
    starts = set()
    for length in range(wanted - shortest - 40, wanted - shortest + 8, 4):
        original.provenance = {"note": "x" * length}
        artefacts.save(file, original)
        starts.add(file.read_bytes()[:2])
        assert artefacts.read_header(file).provenance == original.provenance
    assert wanted.to_bytes(2, "little") in starts, "one of the lengths tried begins like a pickle"


def test_inherit_reports_what_fits() -> None:
    source = make(tied=True)
    target = Micro(MicroOptions(kernel=5), classes=1, in_channels=3)
    result = inherit(target, source)
    assert "conv.bias" in result.taken
    assert result.misshapen == ("conv.weight",)
    assert result.unused == ("twin.weight", "twin.bias")
    assert result.missing == ()
    assert torch.equal(target.conv.bias, source.method.conv.bias)
    assert result.lines()[1:] == ["not taken over, shape differs: conv (1)", "unused in the source: twin (2)"]


def test_a_class_does_not_become_a_region() -> None:
    """As many classes as regions: the outputs' weights would fit, and mean something else."""
    names = ("background", "wall", "cavity")
    table = ClassTable(names=names)
    nested = table.with_regions({"heart": ["wall", "cavity"], "wall": ["wall"], "cavity": ["cavity"]})
    source = make()
    source.method, source.classes = registry.build("unet", classes=3, options=TINY_UNET), table
    target = registry.build("unet", classes=3, options=TINY_UNET, regions=nested.regions)
    result = inherit(target, source, nested)
    assert result.other_meaning == ("head.weight", "head.bias")
    assert not torch.equal(target.get_parameter("head.weight"), source.method.get_parameter("head.weight"))
    key = "encoder.network.conv1.0.weight"
    assert torch.equal(target.get_parameter(key), source.method.get_parameter(key))
    (said,) = [line for line in result.lines() if "regions" in line]
    assert said == "not taken over, classes there and regions here, or the other way round: head (2)"

    swapped = ClassTable(names=("background", "cavity", "wall"))
    result = inherit(registry.build("unet", classes=3, options=TINY_UNET), source, swapped)
    assert "head.weight" in result.taken
    assert result.lines()[-1] == (
        "WARNING: its outputs are background, wall, cavity, and here they are background, cavity, wall: each begins with the "
        "weights of the one in the same place"
    )
    assert not inherit(registry.build("unet", classes=3, options=TINY_UNET), source, table).renamed


def test_inherit_refuses_a_stranger() -> None:
    source = make()
    target = Micro(MicroOptions(kernel=5), classes=4, in_channels=3)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(ArtefactError, match="nothing of the given model fits"):
        inherit(target, source)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_codes_of_classes_travel_with_the_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    code = ClassCode(category=Code("1", "X", "A"), type=Code("2", "X", "B"), color=(1, 2, 3))
    plain = make()
    artefacts.save(file, plain)
    assert json.loads(read_text(file))["format"] == 3
    coded = replace(plain, classes=plain.classes.model_copy(update={"codes": (code,)}))
    artefacts.save(file, coded)
    assert json.loads(read_text(file))["format"] == 4
    assert artefacts.load(file).classes.codes == (code,)
    for changes, message in (
        ({"format": 3}, "codes of classes in a file of format 3"),
        ({"codes": [code.model_dump(mode="json")] * 2}, "2 codes for 1 foreground classes"),
        ({"codes": [{"category": ["1", "X", "A"], "type": ["2" * 17, "X", "B"]}]}, "longer than DICOM allows"),
    ):
        artefacts.save(file, coded)
        rewrite(file, **changes)
        with pytest.raises(ArtefactError, match=message):
            artefacts.load(file)


def read_text(file: Path) -> str:
    with safe_open(file, framework="pt") as stream:
        return str(stream.metadata()["delineate"])
