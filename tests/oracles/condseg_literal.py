"""ConDSeg word for word, as test oracle and as the yardstick of the benchmarks: all heads, plain order of operations,
unfold → softmax → product → fold. Written from the paper; parameter names are those of the released checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet50


class CBR(nn.Module):
    def __init__(self, a: int, b: int, k: int = 3, d: int = 1, act: bool = True) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(a, b, k, padding=(k - 1) // 2 * d, dilation=d, bias=False), nn.BatchNorm2d(b)
        )
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.relu(x) if self.act else x


def up(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=True)


class ChannelGate(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(c, max(1, c // 16), 1, bias=False)
        self.fc2 = nn.Conv2d(max(1, c // 16), c, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        average = self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1))))
        largest = self.fc2(F.relu(self.fc1(F.adaptive_max_pool2d(x, 1))))
        return x * torch.sigmoid(average + largest)


class SpatialGate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat((x.mean(1, keepdim=True), x.max(1, keepdim=True).values), 1)
        return x * torch.sigmoid(self.conv1(pooled))


class Dilated(nn.Module):
    def __init__(self, a: int, w: int) -> None:
        super().__init__()
        self.c1 = nn.Sequential(CBR(a, w, 1), ChannelGate(w))
        self.c2 = nn.Sequential(CBR(a, w, 3, 6), ChannelGate(w))
        self.c3 = nn.Sequential(CBR(a, w, 3, 12), ChannelGate(w))
        self.c4 = nn.Sequential(CBR(a, w, 3, 18), ChannelGate(w))
        self.c5 = CBR(4 * w, w, 3, act=False)
        self.c6 = CBR(a, w, 1, act=False)
        self.sa = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        merged = self.c5(torch.cat((self.c1(x), self.c2(x), self.c3(x), self.c4(x)), 1))
        return self.sa(F.relu(merged + self.c6(x)))


class Decouple(nn.Module):
    cbr_fg: nn.Module
    cbr_bg: nn.Module
    cbr_uc: nn.Module

    def __init__(self, a: int, w: int) -> None:
        super().__init__()
        for name in ("fg", "bg", "uc"):
            setattr(self, f"cbr_{name}", nn.Sequential(CBR(a, a // 2), CBR(a // 2, w), CBR(w, w, 1)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.cbr_fg(x), self.cbr_bg(x), self.cbr_uc(x)


class Up2(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return up(x, 2)


class AuxHead(nn.Module):
    """`last` = 2: the ResNet-50 network's heads; 4: those of the PVTv2 network, with an up2 before the last five convs."""

    branch_fg: nn.Module
    branch_bg: nn.Module
    branch_uc: nn.Module

    def __init__(self, w: int, last: int) -> None:
        super().__init__()
        for name in ("fg", "bg", "uc"):
            setattr(self, f"branch_{name}", _resnet_head(w) if last == 2 else _pvt_head(w))

    def forward(self, fg: Tensor, bg: Tensor, uc: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.branch_fg(fg), self.branch_bg(bg), self.branch_uc(uc)


def _resnet_head(w: int) -> nn.Sequential:
    parts = (CBR(w, 2 * w), Up2(), CBR(2 * w, 2 * w), Up2(), CBR(2 * w, w), Up2(), CBR(w, w // 2), Up2())
    return nn.Sequential(*parts, CBR(w // 2, w // 2), nn.Conv2d(w // 2, 1, 1))


def _pvt_head(w: int) -> nn.Sequential:
    deep = (CBR(w, w), CBR(w, w), Up2(), CBR(w, w), Up2(), CBR(w, w // 2), Up2(), CBR(w // 2, w // 2))
    return nn.Sequential(*deep, Up2(), CBR(w // 2, w // 4), Up2(), nn.Conv2d(w // 4, 1, 1))


class Preprocess(nn.Module):
    def __init__(self, w: int, doublings: int) -> None:
        super().__init__()
        self.c1 = CBR(w, w)
        if doublings:
            self.preprocess = nn.ModuleDict({f"conv_{i}": CBR(w, w) for i in range(doublings)})
        self.doublings = doublings

    def forward(self, x: Tensor) -> Tensor:
        x = self.c1(x)
        for i in range(self.doublings):
            x = self.preprocess[f"conv_{i}"](up(x, 2))
        return x


def window_attention(value: Tensor, guide: Tensor, attn: nn.Linear, heads: int) -> Tensor:
    """Unfold, 9×9 softmax product, fold; the logits' rows in the order (head, output position, source position)."""
    b, c, h, w = value.shape
    logits = attn(guide.permute(0, 2, 3, 1)).reshape(b, h * w, heads, 9, 9).permute(0, 2, 1, 3, 4)
    attention = (logits * (c // heads) ** -0.5).softmax(-1)
    windows = F.unfold(value, 3, padding=1).reshape(b, heads, c // heads, 9, h * w).permute(0, 1, 4, 3, 2)
    mixed = (attention @ windows).permute(0, 1, 4, 3, 2).reshape(b, c * 9, h * w)
    return F.fold(mixed, (h, w), 3, padding=1)


class CDFA(nn.Module):
    def __init__(self, a: int, w: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.v, self.proj = nn.Linear(w, w), nn.Linear(w, w)
        self.attn_fg, self.attn_bg = nn.Linear(w, heads * 81), nn.Linear(w, heads * 81)
        self.input_cbr = nn.Sequential(CBR(a, w), CBR(w, w))
        self.output_cbr = nn.Sequential(CBR(w, w), CBR(w, w))

    def forward(self, x: Tensor, fg: Tensor, bg: Tensor) -> Tensor:
        x = _per_pixel(self.v, self.input_cbr(x))
        x = _per_pixel(self.proj, window_attention(x, fg, self.attn_fg, self.heads))
        x = _per_pixel(self.proj, window_attention(x, bg, self.attn_bg, self.heads))
        return self.output_cbr(x)


def _per_pixel(layer: nn.Linear, x: Tensor) -> Tensor:
    return layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SizeDecoder(nn.Module):
    def __init__(self, w: int) -> None:
        super().__init__()
        self.c1, self.c2 = CBR(2 * w, w, 1), CBR(w, w, act=False)
        self.c3, self.c4 = CBR(w, w, act=False), CBR(w, w, 1, act=False)
        self.ca, self.sa = ChannelGate(w), SpatialGate()

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        a = self.c1(torch.cat((up(deep, 2), shallow), 1))
        b = F.relu(self.c2(a) + a)
        c = F.relu(self.c3(b) + b + a)
        d = F.relu(self.c4(c) + c + b + a)
        return self.sa(self.ca(d))


class OutputBlock(nn.Module):
    def __init__(self, w: int, last: int) -> None:
        super().__init__()
        self.last = last
        self.fuse, self.c1, self.c2 = CBR(3 * w, w), CBR(w, w), CBR(w, w // 2, 1)
        self.c3 = nn.Conv2d(w // 2, 1, 1)

    def forward(self, small: Tensor, middle: Tensor, large: Tensor) -> Tensor:
        x = self.fuse(torch.cat((small, up(middle, 2), up(large, 4)), 1))
        return self.c3(self.c2(self.c1(up(x, self.last))))


class LiteralBody(nn.Module):
    """Everything after the encoder: four maps → logits of mask, foreground, background, uncertainty."""

    def __init__(self, channels: tuple[int, ...], w: int, heads: int, last: int = 2) -> None:
        super().__init__()
        for i, c in enumerate(channels, 1):
            setattr(self, f"dconv{i}", Dilated(c, w))
            setattr(self, f"preprocess_fg{i}", Preprocess(w, 4 - i))
            setattr(self, f"preprocess_bg{i}", Preprocess(w, 4 - i))
            setattr(self, f"cdfa{i}", CDFA(w if i == 4 else 2 * w, w, heads))
        self.decouple_layer = Decouple(channels[-1], w)
        self.aux_head = AuxHead(w, last)
        self.decoder_small, self.decoder_middle, self.decoder_large = SizeDecoder(w), SizeDecoder(w), SizeDecoder(w)
        self.output_block = OutputBlock(w, last)

    def body(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        fg, bg, uc = self.decouple_layer(maps[-1])
        auxiliary = self.aux_head(fg, bg, uc)
        f: list[Tensor | None] = [None] * 5
        for i in (4, 3, 2, 1):
            x, deeper = getattr(self, f"dconv{i}")(maps[i - 1]), f[i] if i < 4 else None
            x = x if deeper is None else torch.cat((x, up(deeper, 2)), 1)
            guides = getattr(self, f"preprocess_fg{i}")(fg), getattr(self, f"preprocess_bg{i}")(bg)
            f[i - 1] = getattr(self, f"cdfa{i}")(x, *guides)
        small, middle, large = (
            self.decoder_small(f[1], f[0]),
            self.decoder_middle(f[2], f[1]),
            self.decoder_large(f[3], f[2]),
        )
        return (self.output_block(small, middle, large), *auxiliary)


class LiteralConDSeg(LiteralBody):
    """Stage II with ResNet-50: B×3×H×W (multiples of 16) → four maps of logits B×1×H×W."""

    def __init__(self, w: int = 128, heads: int = 4) -> None:
        super().__init__((64, 256, 512, 1024), w, heads)
        _resnet_layers(self)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.body(_encode(self, image))


class LiteralStageOne(nn.Module):
    """Stage I: each map up-sampled to full size, reduced, concatenated, one convolution → logits B×1×H×W."""

    def __init__(self, w: int = 64) -> None:
        super().__init__()
        _resnet_layers(self)
        self.head: Any = nn.Module()
        for i, c in enumerate((64, 256, 512, 1024), 1):
            setattr(self.head, f"conv{i}", CBR(c, w, 1))
        self.head.conv_fuse = nn.Conv2d(4 * w, 1, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        full = [getattr(self.head, f"conv{i}")(up(x, 2**i)) for i, x in enumerate(_encode(self, image), 1)]
        return self.head.conv_fuse(torch.cat(full, 1))


def _resnet_layers(module: nn.Module) -> None:
    net = resnet50()
    module.layer0 = nn.Sequential(net.conv1, net.bn1, nn.ReLU(inplace=True))
    module.layer1 = nn.Sequential(net.maxpool, net.layer1)
    module.layer2, module.layer3 = net.layer2, net.layer3


def _encode(module: Any, image: Tensor) -> list[Tensor]:
    maps = [module.layer0(image)]
    for layer in (module.layer1, module.layer2, module.layer3):
        maps.append(layer(maps[-1]))
    return maps
