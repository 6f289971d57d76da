"""Checks of dense methods, beyond those of all methods."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from delineate.common.errors import RecipeError
from delineate.data.core.regions import Region
from delineate.methods import registry
from delineate.methods.dense import DenseMethod, FeatureMaps
from delineate.methods.testing.declared import DECLARED
from delineate.methods.testing.examples import (
    IGNORE,
    as_batch,
    backward,
    context,
    example_batch,
    finite,
    randomize_norms,
    sizes,
    updates,
)
from delineate.methods.testing.examples import tiny_dense as tiny
from delineate.methods.testing.shared import SHARED, reads_no_ignored_label
from delineate.nn.blocks import size_of

__all__ = ["CHECKS", "encode_decode", "export", "ignored", "regions", "shapes"]


def shapes(name: str) -> None:
    """Finite logits B×K×H×W at odd sizes and the smallest, for gray and color, 1 and 4 classes, a batch of one, and any memory
    format."""
    for classes, in_channels in ((1, 3), (4, 1)):
        method = tiny(name, classes=classes, in_channels=in_channels).eval()
        for stage in method.stages():
            logits = getattr(method, stage.logits)
            for height, width in sizes(method):
                image = torch.rand(1, in_channels, height, width)
                with torch.no_grad():
                    result = logits(image)
                    other = logits(image.to(memory_format=torch.channels_last))
                assert tuple(result.shape) == (1, classes, height, width), f"{tuple(result.shape)} at {height}×{width}"
                assert torch.isfinite(result).all()
                assert torch.allclose(result, other, atol=1e-3), "the memory format changes the result"


def encode_decode(name: str) -> None:
    """Of a method that has `encode` and `decode`: one after the other they are `forward`, bit for bit, in training too; the maps,
    finest first, are all that `decode` depends on, and each level matters."""
    method = tiny(name)
    halves = [half for half in ("encode", "decode") if getattr(type(method), half) is not getattr(DenseMethod, half)]
    assert len(halves) != 1, f"{halves[0]} is defined alone: define encode and decode together"
    if not method.has_encode_decode():
        return
    for classes, in_channels in ((1, 3), (4, 1)):
        method = randomize_norms(tiny(name, classes=classes, in_channels=in_channels)).eval()
        for height, width in sizes(method):
            with torch.no_grad():
                _decodes_as_forward(method, torch.rand(2, in_channels, height, width))
    method, twin, image = tiny(name).train(), tiny(name).train(), example_batch(2)["image"]
    torch.manual_seed(1)
    expected = method(image)
    torch.manual_seed(1)
    assert torch.equal(twin.decode(twin.encode(image)), expected), (
        "in training decode(encode(image)) is not forward(image)"
    )


def _decodes_as_forward(method: DenseMethod, image: Tensor) -> None:
    maps, expected = method.encode(image), method(image)
    assert maps.size == size_of(image), f"the maps' size is {maps.size}, the image's {size_of(image)}"
    areas = [level.shape[-2] * level.shape[-1] for level in maps.levels]
    assert areas == sorted(areas, reverse=True), "the maps' levels do not go from the finest to the coarsest"
    assert all(len(level) == len(image) for level in maps.levels), "a level's first dimension does not count the images"
    method.encode(1 - image)
    found = method.decode(maps)
    assert torch.equal(found, expected), "decode(encode(image)) is not forward(image) bit for bit"
    assert torch.equal(method.decode(maps), found), "decode changes the maps it is given"
    for level in range(len(maps.levels)):
        changed = [x + torch.rand_like(x) if at == level else x for at, x in enumerate(maps.levels)]
        other = method.decode(FeatureMaps(changed, maps.size))
        assert not torch.equal(other, found), f"level {level} of the maps does not change the logits"


def ignored(name: str) -> None:
    """Where all pixels are ignored, a term is 0 or has nothing to do with labels; gradients stay finite. An ignored label is
    never read."""
    for classes in (1, 4):
        labeled = example_batch(2, classes=classes)
        nothing, other = (as_batch(labeled["image"], torch.full_like(labeled["mask"], v)) for v in (IGNORE, 0))
        reads_no_ignored_label(randomize_norms(tiny(name, classes=classes)).eval(), nothing, labeled, other)


def regions(name: str) -> None:
    """A method that learns nested regions does so by `self.output`: terms and gradients are finite, pixels of a region that changes
    its classes change the terms, and panels stay in [0, 1]. Another method refuses regions."""
    if not registry.method_class(name).info.learns_regions:
        try:
            _with_regions(name)
        except RecipeError:
            return
        raise AssertionError("regions are taken although info.learns_regions is false")
    method, batch = _with_regions(name).train(), example_batch(2, classes=4)
    inner = as_batch(batch["image"], batch["mask"].where(batch["mask"] != 3, 2))
    for stage, _, objective in updates(method):
        found = objective(batch, context(stage.name))
        assert torch.isfinite(backward(method, found)), f"stage '{stage.name}': not finite with regions"
        assert finite(method), f"stage '{stage.name}': gradients are not finite with regions"
        method.eval()
        with torch.no_grad():
            one, other = (objective(each, context(stage.name)) for each in (batch, inner))
        assert one != other, f"stage '{stage.name}': a class that leaves the innermost region changes nothing"
        method.train()
    with torch.no_grad():
        for key, panel in method.eval().panels(batch).items():
            assert panel.kind == "mask" or 0 <= float(panel.tensor.min()) <= float(panel.tensor.max()) <= 1, key


def _with_regions(name: str) -> DenseMethod:
    """The tiny method with three nested regions of three classes."""
    nested = tuple(Region(name=f"from {index}", classes=tuple(range(index, 4)), paints=index) for index in (1, 2, 3))
    return tiny(name, classes=3, regions=nested)


def export(name: str) -> None:
    """A method that says so can be exported: its deployed form as a graph of one size gives the same result."""
    if not registry.method_class(name).info.exportable:
        return
    method = tiny(name)
    lean, size = method.deploy(), sizes(method)[1]
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        graph = torch.export.export(lean, (image,)).module()
        assert torch.allclose(graph(image), lean(image), atol=1e-4), "the exported graph gives another result"


CHECKS: dict[str, Callable[[str], None]] = {
    run.__name__: run for run in (*DECLARED, shapes, *SHARED, encode_decode, ignored, regions, export)
}
