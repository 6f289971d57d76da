"""State dicts that the authors' code saves (ResNet-50, stages I and II) → a ConDSeg of this project.

The authors have released the code but no trained weights; these are files of users who trained with it. Their images are in BGR
order, scaled to 0..1, without mean and standard deviation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from delineate.common.errors import ArtefactError
from delineate.methods.condseg.network import ConDSeg
from delineate.methods.contract import ImportedModel
from delineate.nn.window_attention import attention_rows

__all__ = ["OPTIONS", "SIZE", "authors_name", "fill", "read"]

SIZE = (256, 256)
OPTIONS = {"encoder": {"name": "resnet50"}, "width": 128, "heads": 4, "normalize": "none", "beta": "batch_sum"}

_SHORT = {"foreground": "fg", "background": "bg", "uncertainty": "uc"}
_PLACES: tuple[tuple[str, str], ...] = (
    (r"encoder\.network\.conv1", "layer0.0"),
    (r"encoder\.network\.bn1", "layer0.1"),
    (r"encoder\.network\.layer1", "layer1.1"),
    (r"encoder\.network\.(layer[23])", "{}"),
    (r"reinforcement\.reduce\.(\d)", "head.conv{}"),
    (r"reinforcement\.fuse", "head.conv_fuse"),
    (r"dilated\.(\d)\.branches\.(\d)", "dconv{}.c{}"),
    (r"dilated\.(\d)\.merge", "dconv{}.c5"),
    (r"dilated\.(\d)\.shortcut", "dconv{}.c6"),
    (r"dilated\.(\d)\.gate\.conv", "dconv{}.sa.conv1"),
    (r"semantic\.([a-z]+)", "decouple_layer.cbr_{}"),
    *((rf"auxiliary\.([a-z]+)\.convs\.{k}", f"aux_head.branch_{{}}.{2 * k}") for k in range(5)),
    (r"auxiliary\.([a-z]+)\.logit", "aux_head.branch_{}.9"),
    (r"prepare_([a-z]+)\.(\d)\.convs\.0", "preprocess_{}{}.c1"),
    *((rf"prepare_([a-z]+)\.(\d)\.convs\.{k + 1}", f"preprocess_{{}}{{}}.preprocess.conv_{k}") for k in range(3)),
    (r"aggregation\.(\d)\.enter", "cdfa{}.input_cbr"),
    (r"aggregation\.(\d)\.leave", "cdfa{}.output_cbr"),
    (r"aggregation\.(\d)\.value", "cdfa{}.v"),
    (r"aggregation\.(\d)\.project", "cdfa{}.proj"),
    (r"aggregation\.(\d)\.([a-z]+)\.logits", "cdfa{}.attn_{}"),
    (r"decoder\.(small|middle|large)\.channels", "decoder_{}.ca"),
    (r"decoder\.(small|middle|large)\.gate\.conv", "decoder_{}.sa.conv1"),
    (r"decoder\.(small|middle|large)", "decoder_{}"),
    (r"decoder\.fuse", "output_block.fuse"),
    (r"decoder\.refine\.0", "output_block.c1"),
    (r"decoder\.refine\.1", "output_block.c2"),
    (r"decoder\.logits", "output_block.c3"),
)
"""Beginnings of our parameter names and what the authors call those places, the first match counting. Their numbers start
at 1."""


def read(state: Mapping[str, Tensor]) -> ImportedModel:
    """A ConDSeg with the checkpoint's weights. A stage I file fills the encoder and its head alone (`complete=False`).

    Raises `ArtefactError` naming a parameter that is missing, left over or misshapen, or for another kind of file.
    """
    first_stage = _is_first_stage(state)
    method = ConDSeg(ConDSeg.Options.model_validate(OPTIONS), classes=1, in_channels=3)
    fill(method, state, first_stage=first_stage)
    stage = "stage I (encoder and its head)" if first_stage else "stage II (the whole network)"
    return ImportedModel(
        method, channels="bgr", size=SIZE, description=f"ConDSeg with ResNet-50, {stage}", complete=not first_stage
    )


def fill(method: ConDSeg, state: Mapping[str, Tensor], *, first_stage: bool) -> None:
    """Load a state dict with the authors' names into `method`. Raises `ArtefactError` as `read` does."""
    ours = method.state_dict()
    names = {name: authors_name(name) for name in ours if _in_stage(name, first_stage=first_stage)}
    _check_names(state, set(names.values()))
    loaded = {name: state[theirs] for name, theirs in names.items() if theirs in state}
    _check_shapes(loaded, ours, names)
    rows = attention_rows(method.options.heads)
    # Attention logits' rows come head-slowest there, head-fastest here.
    permuted = {name: value[rows] for name, value in loaded.items() if ".logits." in name and "aggregation" in name}
    method.load_state_dict({**loaded, **permuted}, strict=False)


def authors_name(name: str) -> str:
    """What the authors call our parameter or buffer `name`."""
    for pattern, place in _PLACES:
        match = re.match(pattern + r"(?=\.)", name)
        if match is None:
            continue
        rest = name[match.end() :]
        if not name.startswith("encoder."):
            rest = rest.replace(".conv.", ".conv.0.").replace(".norm.", ".conv.1.")
        return place.format(*(_their_word(word) for word in match.groups())) + rest
    raise KeyError(name)


def _their_word(word: str) -> str:
    return str(int(word) + 1) if word.isdigit() else _SHORT.get(word, word)


def _is_first_stage(state: Mapping[str, Tensor]) -> bool:
    parts = {name.partition(".")[0] for name in state}
    if "layer0" not in parts or not parts & {"head", "dconv1"}:
        seen = ", ".join(sorted(parts)[:5]) or "nothing"
        raise ArtefactError(f"not a ConDSeg checkpoint with ResNet-50: no layer0 with head or dconv1 (it holds {seen})")
    return "dconv1" not in parts


def _in_stage(name: str, *, first_stage: bool) -> bool:
    if name.startswith("encoder."):
        return True
    return name.startswith("reinforcement.") == first_stage


def _check_names(state: Mapping[str, Tensor], wanted: set[str]) -> None:
    # Files from before PyTorch 0.4.1 lack BatchNorm's step counter, which plays no part here.
    missing = sorted(name for name in wanted - state.keys() if not name.endswith("num_batches_tracked"))
    if missing:
        raise ArtefactError(f"not a complete ConDSeg checkpoint: parameter '{missing[0]}' is missing{_more(missing)}")
    extra = sorted(state.keys() - wanted)
    if extra:
        raise ArtefactError(f"not a plain ConDSeg checkpoint: parameter '{extra[0]}' is left over{_more(extra)}")


def _check_shapes(loaded: Mapping[str, Tensor], ours: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    for name, value in loaded.items():
        if value.shape != ours[name].shape:
            raise ArtefactError(
                f"not a ConDSeg checkpoint of the published size: parameter '{names[name]}' has shape "
                f"{tuple(value.shape)}, expected {tuple(ours[name].shape)}"
            )


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
