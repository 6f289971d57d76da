from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from delineate.common.config import merge
from delineate.common.errors import DelineateError, RecipeError
from delineate.methods import registry


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path, with an installed distribution that registers methods of `other_methods.py`."""
    info = tmp_path / "other_methods-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-methods\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[delineate.methods]\nabsent = no_such_module:Net\nwrong = other_methods:NotAMethod\nbare = other_methods:Bare\n"
        "kindless = other_methods:NoKind\n"
    )
    (tmp_path / "other_methods.py").write_text(
        "from delineate.methods.contract import Method\nfrom delineate.methods.dense import DenseMethod\n"
        "class NotAMethod: ...\nclass NoKind(Method): ...\nclass Bare(DenseMethod): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.forget_other_packages()
    yield tmp_path
    monkeypatch.undo()
    sys.modules.pop("other_methods", None)
    registry.forget_other_packages()


def test_unknown_names_are_answered_by_the_nearest() -> None:
    with pytest.raises(RecipeError, match="unknown method 'unt': did you mean 'unet'"):
        registry.create("unt")
    with pytest.raises(RecipeError, match="method 'unet' has no preset 'tinny': did you mean 'tiny'"):
        registry.create("unet", preset="tinny")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": {"nam": "resnet18"}}, r"method 'unet': unknown option 'encoder.nam': did you mean 'name'"),
        ({"decoder_channel": [1]}, r"unknown option 'decoder_channel': did you mean 'decoder_channels'"),
        (
            {"encoder": {"pretrained": 3}},
            r"method 'unet': encoder.pretrained: say false, true, package:NAME, .*given: 3",
        ),
        ({"up": "cubic"}, r"method 'unet': up: .*'nearest' or 'bilinear'.*'cubic'"),
        ({"loss": {"cross_entropy": 0, "dice": 0}}, r"method 'unet': loss: at least one of"),
    ],
)
def test_faulty_options_are_one_clear_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        registry.create("unet", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("counts", [{"classes": 0}, {"in_channels": 0}])
def test_no_classes_or_channels(counts: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match="at least 1"):
        registry.build("unet", **counts)


def test_options_are_laid_on_a_preset() -> None:
    method = registry.create("unet", preset="tiny", encoder={"name": "resnet10t"})
    options = method.options.model_dump()
    assert options["encoder"]["name"] == "resnet10t"
    assert options["decoder_channels"] == tuple(registry.presets("unet")["tiny"]["method"]["decoder_channels"])


def test_part_of_a_group_keeps_the_methods_own_defaults() -> None:
    assert registry.build("unet", options={"encoder": {"pretrained": True}}).options.model_dump()["encoder"] == {
        "name": "resnet34",
        "pretrained": True,
    }


def test_merge_changes_neither() -> None:
    base, over = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 5}, "d": {"e": 6}}
    assert merge(base, over) == {"a": {"b": 5, "c": 2}, "d": {"e": 6}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


def test_faulty_packages_are_named(package: Path) -> None:
    assert {"absent", "wrong", "bare", "unet"} <= set(registry.names())
    with pytest.raises(DelineateError, match=r"'absent' \(no_such_module:Net\) cannot be imported"):
        registry.method_class("absent")
    for name, target in (("wrong", "NotAMethod"), ("kindless", "NoKind")):
        with pytest.raises(
            DelineateError, match=rf"'{name}' \(other_methods:{target}\) is neither a .*DenseMethod nor"
        ):
            registry.method_class(name)
    with pytest.raises(DelineateError, match=r"'bare' has no readable recipe at .*recipe\.yaml"):
        registry.presets("bare")
    (package / "recipe.yaml").write_text("- tiny\n")
    with pytest.raises(DelineateError, match="must map preset names"):
        registry.presets("bare")
    with pytest.raises(DelineateError, match=r"'bare' has no readable card"):
        registry.card("bare")
