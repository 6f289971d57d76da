"""What every dense method must keep beyond the promises of all methods."""

from __future__ import annotations

from collections.abc import Callable

import torch

from delineate.methods import registry
from delineate.methods.testing.declared import DECLARED
from delineate.methods.testing.examples import IGNORE, as_batch, example_batch, shake, sizes, tiny
from delineate.methods.testing.shared import SHARED, reads_no_ignored_label


def shapes(name: str) -> None:
    """Finite logits B×K×H×W at odd sizes and the smallest, for grey and colour, 1 and 4 classes, a batch of one, and any memory
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


def ignored(name: str) -> None:
    """Where all pixels are ignored, a term is 0 or has nothing to do with labels; gradients stay finite. An ignored label is
    never read."""
    for classes in (1, 4):
        labelled = example_batch(2, classes=classes)
        nothing, other = (as_batch(labelled["image"], torch.full_like(labelled["mask"], v)) for v in (IGNORE, 0))
        reads_no_ignored_label(shake(tiny(name, classes=classes)).eval(), nothing, labelled, other)


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


CHECKS: dict[str, Callable[[str], None]] = {run.__name__: run for run in (*DECLARED, shapes, *SHARED, ignored, export)}
