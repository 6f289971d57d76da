"""Misspelled words are refused before anything heavy is loaded, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
from pydantic import BaseModel

from delineate.common.class_fields import Place, fields_of
from delineate.common.errors import DataError, RecipeError
from delineate.common.missing_paths import refuse_missing
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.typo_checks import RECIPE, options_of, presets_of, refuse_typos
from delineate.methods import registry
from delineate.methods.built_in import BUILT_IN

HEAVY = {"torch", "timm", "numpy", "lightning", "cv2", "scipy"}


def agree(place: Place, model: type[BaseModel]) -> None:
    """What the text says is what the class has, all the way down."""
    fields = fields_of(place)
    assert fields is not None
    assert fields.keys() == model.model_fields.keys()
    for name, nested in fields.items():
        annotation = model.model_fields[name].annotation
        if nested is not None:
            assert isinstance(annotation, type)
            agree(nested, annotation)
        else:
            inner = [annotation, *get_args(annotation)]
            assert not (isinstance(annotation, type) and issubclass(annotation, BaseModel)), (name, inner)


def test_recipes_are_read_right() -> None:
    agree(RECIPE, Recipe)


@pytest.mark.parametrize("method", sorted(BUILT_IN))
def test_methods_are_read_right(method: str) -> None:
    place = options_of(method)
    assert place is not None
    agree(place, registry.method_class(method).Options)
    assert presets_of(method) == list(registry.presets(method))


@pytest.mark.parametrize(
    ("method", "preset", "setting", "message"),
    [
        ("unett", "tiny", "", "unknown method 'unett': did you mean 'unet'?"),
        ("spm:unet/resnet18", "tiny", "", "unknown method 'spm:unet/resnet18': did you mean 'smp'?"),
        ("unet", "tinny", "", "method 'unet' has no preset 'tinny': did you mean 'tiny'?"),
        ("unet", "tiny", "engine.lrr=1", "recipe: unknown option 'engine.lrr': did you mean 'lr'?"),
        ("unet", "tiny", "engin.lr=1", "recipe: unknown option 'engin': did you mean 'engine'?"),
        ("unet", "tiny", "method.encoder.nam=x", "method 'unet': unknown option 'encoder.nam': did you mean 'name'?"),
        (
            "condseg",
            "tiny",
            "method.encodr.name=x",
            "method 'condseg': unknown option 'encodr': did you mean 'encoder'?",
        ),
        ("unet", "tiny", "engine.learning_rate=1", "recipe: unknown option 'engine.learning_rate': did you mean 'lr'?"),
        ("unet", "tiny", "engine.amp=1", "recipe: unknown option 'engine.amp': did you mean 'precision'?"),
        ("unet", "tiny", "lr=1", "recipe: unknown option 'lr': did you mean 'engine.lr'?"),
        (
            "unet",
            "tiny",
            "flip_vertical=0",
            "recipe: unknown option 'flip_vertical': did you mean 'augment.flip_vertical'?",
        ),
        ("unet", "tiny", "encoder.name=x", "recipe: unknown option 'encoder': did you mean 'method.encoder.name'?"),
        ("unet", "tiny", "ema=.9", "recipe: unknown option 'ema': did you mean 'strategy.ema'?"),
        ("unet", "tiny", "engine.lr", "--set engine.lr: expected section.key=value, for example engine.lr=0.001"),
    ],
)
def test_the_words_are_those_of_the_full_check(method: str, preset: str, setting: str, message: str) -> None:
    settings = [setting] if setting else []
    with pytest.raises(RecipeError) as early:
        refuse_typos(method, preset, settings)
    assert str(early.value) == message
    if not setting.startswith("method."):  # these are checked when the method is built
        with pytest.raises(RecipeError) as late:
            resolve(method, preset, {}, settings)
        assert str(late.value) == message


@pytest.mark.parametrize(
    "setting",
    [
        "engine.lr=1",
        "stages.train.lr=1",
        "method.encoder.name=x",
        "engine.lr_scale.encoder=.1",
        "input.size=64",
    ],
)
def test_what_is_right_passes(setting: str) -> None:
    refuse_typos("unet", "tiny", [setting])
    refuse_typos("smp:unet/resnet18", "paper", [setting])


def test_files_that_are_not_there(tmp_path) -> None:
    (tmp_path / "polyps").mkdir()
    refuse_missing(tmp_path, None)
    with pytest.raises(DataError, match=r"there is no folder .*polypp; .* has polyps"):
        refuse_missing(tmp_path / "polypp")


@pytest.mark.parametrize(
    "words",
    [
        "train X --methd y",
        "trian",
        "train . --method unett --out r",
        "train . --method unet --preset tinny --out r",
        "train . --method unet --out r --set engine.lrr=1",
        "train nosuch --method unet --out r",
        "fewshot train . --method alpnett --out r",
        "fewshot train nosuch --method alpnet --out r",
        "benchmark . --methods unet,condsegg --out b",
        "benchmark nosuch --methods unet --out b",
        "predict nosuch x.png --out m",
        "fewshot predict nosuch --query x.png --support s --out m",
        "evaluate nosuch . --out m",
        "evaluate . nosuch --out m",
        "compare nosuch a=. --out m",
        "data check nosuch",
        "data split nosuch --folds 3 --out m",
        "import condsegg x.pth --out m",
        "import condseg x.pth --out m",
    ],
)
def test_verbs_refuse_before_anything_is_loaded(words: str) -> None:
    code = f"import sys\nsys.argv = ['delineate', *{words.split()}]\nfrom delineate.cli import main\n"
    code += "try:\n    main()\nexcept SystemExit as stop:\n    assert stop.code == 2, stop.code\n"
    code += f"print(sorted({HEAVY} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Traceback" not in done.stderr
