"""Where weights come from, in words and as JSON."""

from __future__ import annotations

from delineate.nn.encoders.options import without_folder
from delineate.nn.encoders.origin import WeightsOrigin


def test_an_origin_survives_json_and_what_a_file_lacks_is_unknown() -> None:
    origin = WeightsOrigin("file", "mine.safetensors", "resnet18", license="MIT", sha256="ab" * 32)
    assert WeightsOrigin.from_json(origin.to_json()) == origin
    assert WeightsOrigin.from_json({"name": "theirs", "of_tomorrow": 1}).words == "theirs (unknown, license unknown)"


def test_a_file_is_told_by_its_name_whatever_the_system() -> None:
    assert without_folder("/home/me/mine.pth") == without_folder(r"C:\me\mine.pth") == "mine.pth"
    assert without_folder("package:efficientnet-lite0") == "package:efficientnet-lite0"
    assert without_folder(True) is True
