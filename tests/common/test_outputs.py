"""Results never go where inputs are, nor over results of another kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from delineate.common.errors import DelineateError
from delineate.common.files import new_folder
from delineate.common.output_checks import check_result_file, check_results_folder


@pytest.mark.parametrize("spelling", ["in", "./x/../in", "link", "in/."])
def test_the_folder_that_is_read_is_refused_however_it_is_spelled(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DelineateError, match="is an input folder"):
        check_results_folder(Path(spelling), "scores.json", [Path("in")])
    check_results_folder(Path("in/scores"), "scores.json", [Path("in")])


def test_results_of_another_kind_are_not_mixed_in(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("")
    with pytest.raises(DelineateError, match=r"holds a training run \(recipe\.yaml\)"):
        check_results_folder(tmp_path, "scores.json", [])
    (tmp_path / "recipe.yaml").unlink()
    (tmp_path / "scores.json").write_text("")
    check_results_folder(tmp_path, "scores.json", [])


def test_a_file_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "thesis.html"
    check_result_file(path, ["by us"], "page")
    path.write_text("made by us")
    check_result_file(path, ["by us"], "page")
    for content in (b"made by me", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(DelineateError, match="is there already, and no page of Delineate"):
            check_result_file(path, ["by us"], "page")
    with pytest.raises(DelineateError, match="is a folder"):
        check_result_file(tmp_path, [], "page")


def test_a_new_folder_is_whole_or_absent(tmp_path: Path) -> None:
    (tmp_path / "clean.building").mkdir()
    with new_folder(tmp_path / "clean") as building:
        (building / "a").write_text("x")
        assert not (tmp_path / "clean").exists()
    assert (tmp_path / "clean" / "a").read_text() == "x"

    def fail_half_way() -> None:
        with new_folder(tmp_path / "other") as half:
            (half / "a").write_text("x")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail_half_way()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean", "clean.building"]
