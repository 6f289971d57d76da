"""What a model file says of itself: all of it from the header, without the network library, without folders of other machines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from delineate.artefact.format import Artefact, save
from delineate.artefact.postprocessing import Postprocessing, StructureRule
from delineate.cli import main
from delineate.common.errors import ArtefactError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable, LabelRule
from delineate.evaluation.results.case_scores import score_case
from delineate.evaluation.results.summary import summarize
from delineate.inference.model_card import front_matter, model_card, score_table
from delineate.inference.model_info import read_info, without_folders
from delineate.methods import registry

pytestmark = pytest.mark.usefixtures("micro")
PRETRAINED = {
    "encoder": {
        "source": "file",
        "name": "/home/jane/weights/mine.pth",
        "encoder": "resnet18",
        "license": "cc-by-nc-4.0",
        "sha256": "ab" * 32,
    }
}
PROVENANCE = {
    "preset": "tiny",
    "seed": 3,
    "data": "/data/DOE_JANE/livers",
    "splits": "lists in /data/DOE_JANE/livers",
    "data_license": "CC-BY-SA 4.0",
    "cases": {"train": 9, "val": 8},
    "date": "2026-01-02",
    "method": {"title": "Micro", "paper": "Doe 2026", "license_note": "code for research", "parameters": 77},
    "training": {
        "recipe": {"strategy.name": "supervised", "engine.select_by": "dice"},
        "data_sha256": "cd" * 32,
        "steps": 5,
    },
    "pictures": {"train": "0123456789ab" * 9},
    "pretrained": PRETRAINED,
}


def scores() -> dict[str, Any]:
    import numpy as np

    classes = ClassTable(names=("background", "liver", "odd thing"))
    rows = []
    for number in range(8):
        reference = np.zeros((12, 12), np.uint8)
        reference[:6, : 6 + number % 3], reference[8:, 8:] = 1, 2
        rows += score_case(f"c{number}", np.roll(reference, number % 4, axis=1), reference, classes)
    return {"split": "validation", "protocol": "native", "warnings": []} | summarize(rows).to_json()


@pytest.fixture
def model(tmp_path: Path, micro: str) -> Path:
    table = ClassTable(names=("background", "liver", "odd thing"), labels=LabelRule(values={0: 0, 7: 1, 9: 2}))
    rule = StructureRule(name="liver", largest=True)
    artefact = Artefact(
        method=registry.build(micro, classes=3, in_channels=1, options={}),
        spec=InputSpec(channels="gray", size=(24, 32)),
        classes=table,
        postprocessing=Postprocessing(dimensions=2, rules=(rule,)),
        scores=scores(),
        provenance=PROVENANCE,
    )
    save(tmp_path / "model.safetensors", artefact)
    return tmp_path / "model.safetensors"


def test_all_is_told_and_no_folder(model: Path) -> None:
    found = read_info(model)
    content = found.to_json()
    assert content["classes"][1] == {
        "index": 1,
        "name": "liver",
        "color": "#e69f00",
        "code": {"value": "10200004", "scheme": "SCT", "meaning": "Liver"},
        "values": ["7"],
    }
    assert content["classes"][2]["code"] is None, "a name that no code is known of has none"
    assert content["data"]["name"] == "livers"
    assert content["data"]["pictures"] == {"train": 1}
    assert content["output"]["activation"] == "softmax"
    assert content["licenses"] == {
        "data": "CC-BY-SA 4.0",
        "weights of mine.pth": "cc-by-nc-4.0",
        "method": "code for research",
    }
    for text in (json.dumps(content), model_card(found), model_card(found, hub=True)):
        assert "jane" not in text.lower(), "folders and what is in their names stay at home"
        assert "mine.pth" in text
    assert found.preset == "tiny"
    assert found.seed == 3
    assert not found.fewshot


def test_card_says_what_must_be_said(model: Path) -> None:
    card = model_card(read_info(model), license="mit")
    for line in (
        "# Micro, trained on livers",
        "- Data: 9 training, 8 validation cases; splits: lists in livers",
        "| 1 | liver | #e69f00 | 10200004 SCT, Liver | 7 |",
        "- This model's weights: mit",
        "- Data: CC-BY-SA 4.0",
        "- Strategy: supervised",
        "- Post-processing: liver: largest component (8 neighbors)",
    ):
        assert line in card.splitlines(), card
    table = score_table(read_info(model))
    assert table is not None
    assert table.head[:2] == ("class", "Dice")
    assert [row[0] for row in table.rows] == ["liver", "odd thing", "mean over classes"]
    interval = scores()["classes"]["liver"]["dice"]["present"]
    assert table.rows[0][1] == f"{interval['mean']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


@pytest.mark.parametrize(
    ("license", "stated"),
    [
        (None, {"license": "unknown"}),
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("our own terms: ask", {"license": "other", "license_name": "our-own-terms-ask"}),
    ],
)
def test_front_matter_is_read_by_the_hub_s_own_library(
    model: Path, license: str | None, stated: dict[str, str]
) -> None:
    from huggingface_hub.repocard_data import ModelCardData

    text = front_matter(read_info(model), license)
    begin, content, end = text.split("---\n")
    assert begin == end == ""
    read = yaml.safe_load(content)
    assert {key: value for key, value in read.items() if key.startswith("license")} == stated
    data = ModelCardData(**read, ignore_metadata_errors=False)
    assert data.eval_results is not None
    dice = next(one for one in data.eval_results if one.metric_type == "dice")
    assert dice.metric_value == round(scores()["macro"]["dice"]["present"]["mean"], 4)
    assert dice.dataset_name == "livers, validation"


def test_a_model_that_says_little(tmp_path: Path, micro: str) -> None:
    artefact = Artefact(
        registry.build(micro, classes=1, in_channels=3, options={}),
        InputSpec(size=(8, 8)),
        ClassTable(),
        scores={"dice": 0.5},
        provenance={
            "cases": "many",
            "pretrained": [1],
            "training": 3,
            "pictures": None,
            "seed": "x",
            "about": 1,
            "method": 2,
        },
        complete=False,
    )
    save(tmp_path / "model.safetensors", artefact)
    found = read_info(tmp_path)
    assert found.scores == {}
    assert found.seed is None
    assert found.first_weights == "not known"
    assert found.remarks == ["Only a part of the weights is trained: good for --init, not for prediction."]
    card = model_card(found)
    assert "The model file has none." in card
    assert "- Nothing is known of the training data." in card
    assert "model-index" not in front_matter(found)
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/me/x.png and C:\\Users\\me\\y.pth", "x.png and y.pth"),
        ("/home/Jane Doe/x.png is gone", "x.png is gone"),
        ("~/secret/z, file:///home/x/y", "z, y"),
        ("\\\\server\\share\\x", "x"),
        ("https://a.b/c/d and CC/BY and 1/2, train / val", "https://a.b/c/d and CC/BY and 1/2, train / val"),
    ],
)
def test_folders_are_cut_off(text: str, left: str) -> None:
    assert without_folders({"a": [text]}) == {"a": [left]}


def test_the_command_loads_no_network_library(model: Path) -> None:
    code = f"import sys; sys.argv = ['delineate', 'info', {str(model)!r}, '--json']\n"
    code += "from delineate.cli import main\n"
    code += (
        "try:\n    main()\nfinally:\n    print(sorted({'torch', 'timm', 'cv2'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"]["method"] == "micro"
    assert "torch" not in done.stderr
    assert "timm" not in done.stderr


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["delineate", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_tables(model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "info", str(model.parent)) == 0
    shown = capsys.readouterr().out
    for words in ("10200004 SCT, Liver", "CC-BY-SA 4.0", "protocol native, 8 cases", "mean over classes"):
        assert words in shown


@pytest.mark.parametrize("fault", ["absent", "folder", "pickle", "foreign", "truncated", "table", "both"])
def test_wrong_input_is_one_line(
    fault: str, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, further = model.with_name("x.safetensors"), []
    if fault == "folder":
        path.mkdir()
    elif fault == "pickle":
        path.write_bytes(b"PK\x03\x04" + bytes(20))
    elif fault == "foreign":
        from safetensors.numpy import save_file

        save_file({}, path)
    elif fault == "truncated":
        path.write_bytes(model.read_bytes()[:200])
    elif fault == "table":
        path = path.with_suffix(".csv")
        path.write_text("case,dice\na,0.9\n" * 9)
    elif fault == "both":
        path, further = model, ["--json", "--card"]
    assert run(monkeypatch, "info", str(path), *further) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert ("is no model; give a model.safetensors" in said.err) == (fault == "table")


def test_python_raises_the_same(tmp_path: Path) -> None:
    import delineate

    with pytest.raises(ArtefactError, match="does not exist"):
        delineate.info(tmp_path / "x.safetensors")
