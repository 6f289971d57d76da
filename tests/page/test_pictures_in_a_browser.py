"""What the page's own decoders make of files, beside what `predict` reads: the same pixels, and faults in words."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from delineate.data.formats.registry import read_image
from delineate.page.linked import linked
from devtools import Tab, tab

pytestmark = pytest.mark.more
HARNESS = """<!DOCTYPE html><meta charset="utf-8"><input type="file" id="files" multiple><script type="module">
%s
globalThis.decoded = async (at) => {
  try {
    const { width, height, channels, data } = await readPicture(document.getElementById("files").files[at], 1e6);
    const letters = latin1(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return { width, height, channels, type: data.constructor.name, pixels: btoa(letters) };
  } catch (error) {
    return { fault: error instanceof PlainError ? error.message : "UNEXPECTED " + error.stack };
  }
};
globalThis.loaded = true;
</script>"""
TYPES = {"Uint8Array": np.uint8, "Uint16Array": np.uint16, "Float32Array": np.float32}
RANDOM = np.random.default_rng(7)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "harness.html").write_text(HARNESS % linked("files.js"), encoding="utf-8")
    with tab(folder) as opened:
        opened.open(folder / "harness.html")
        opened.wait("globalThis.loaded")
        yield opened


def decoded(page: Tab, files: list[Path]) -> list[Any]:
    page.choose("#files", *files)
    found = []
    for at, _ in enumerate(files):
        one = page.run(f"decoded({at})")
        if "fault" in one:
            found.append(one["fault"])
            continue
        pixels = np.frombuffer(base64.b64decode(one["pixels"]), TYPES[one["type"]])
        shape = (one["height"], one["width"]) + ((3,) if one["channels"] == 3 else ())
        found.append(pixels.reshape(shape))
    return found


def smooth(height: int, width: int, channels: int = 1, dtype: Any = np.uint8) -> np.ndarray:
    """Not noise alone, so that filters and packing have something to do."""
    most = np.iinfo(dtype).max
    ramp = np.linspace(0, 0.8 * most, height * width * channels).reshape(height, width, channels)
    values = (ramp + RANDOM.integers(0, most // 8, ramp.shape)).astype(dtype)
    return values[..., 0] if channels == 1 else values


def png(
    samples: np.ndarray, bits: int, kind: int, *, interlaced: bool = False, filters: bool = False, extra: bytes = b""
) -> bytes:
    """A PNG of any kind: Pillow writes few."""
    height, width = samples.shape[:2]
    stored = samples.reshape(height, width, -1)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x, y, right, down in passes if interlaced else [(0, 0, 1, 1)]:
        part = stored[y::down, x::right]
        if not part.size:
            continue
        above = b""
        for number, row in enumerate(part.reshape(len(part), -1)):
            line = row.astype(">u2").tobytes() if bits == 16 else packed_bits(row, bits)
            filtered = number % 5 if filters else 0
            raw += bytes([filtered]) + filter_row(
                line, above or bytes(len(line)), filtered, max(1, stored.shape[2] * bits // 8)
            )
            above = line
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


def packed_bits(row: np.ndarray, bits: int) -> bytes:
    each = (row[:, None].astype(np.uint8) >> np.arange(bits - 1, -1, -1, dtype=np.uint8)) & 1
    return np.packbits(each.ravel()).tobytes()


def filter_row(line: bytes, above: bytes, kind: int, distance: int) -> bytes:
    left, corner = bytes(distance) + line[:-distance], bytes(distance) + above[:-distance]
    result = bytearray()
    for value, a, b, c in zip(line, left, above, corner, strict=True):
        guess = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
        result.append((value - (0, a, b, (a + b) // 2, guess)[kind]) & 255)
    return bytes(result)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def pngs(folder: Path) -> list[Path]:
    made: dict[str, bytes] = {}
    for bits in (1, 2, 4, 8, 16):
        most = 2**bits
        made[f"gray{bits}"] = png(RANDOM.integers(0, most, (13, 19)), bits, 0)
        made[f"gray{bits}i"] = png(RANDOM.integers(0, most, (13, 19)), bits, 0, interlaced=True)
        if bits < 16:
            palette = chunk(b"PLTE", RANDOM.integers(0, 256, 3 * most, np.uint8).tobytes())
            made[f"palette{bits}"] = png(RANDOM.integers(0, most, (13, 19)), bits, 3, extra=palette)
        if bits >= 8:
            dtype = np.uint8 if bits == 8 else np.uint16
            for name, kind, channels in (("rgb", 2, 3), ("grayalpha", 4, 2), ("rgba", 6, 4)):
                made[f"{name}{bits}"] = png(smooth(17, 23, channels, dtype), bits, kind, filters=True)
                made[f"{name}{bits}i"] = png(smooth(17, 23, channels, dtype), bits, kind, interlaced=True, filters=True)
    made["gamma"] = png(smooth(9, 9, 3), 8, 2, extra=chunk(b"gAMA", struct.pack(">I", 100000)))
    made["pixel"] = png(smooth(1, 1), 8, 0, interlaced=True)
    for turn in range(1, 9):
        exif = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 274, 3, 1, turn, 0, 0)
        made[f"turned{turn}"] = png(smooth(5, 8, 3), 8, 2, extra=chunk(b"eXIf", exif))
    for name, content in made.items():
        (folder / f"{name}.png").write_bytes(content)
    return [folder / f"{name}.png" for name in made]


def tiffs(folder: Path) -> list[Path]:
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs", reason="packs TIFF files")
    made = []
    for packing in (None, "lzw", "deflate", "packbits"):
        for dtype in (np.uint8, np.uint16):
            for channels in (1, 3):
                path = folder / f"{packing}-{dtype.__name__}-{channels}.tif"
                kind = "rgb" if channels == 3 else "minisblack"
                order = ">" if channels == 3 else "<"
                with tifffile.TiffWriter(path, byteorder=order) as writer:
                    writer.write(
                        smooth(40, 37, channels, dtype), photometric=kind, compression=packing, rowsperstrip=16
                    )
                made.append(path)
    large = smooth(300, 500, 3)  # LZW's codes grow to 12 bits and start anew
    further: dict[str, dict[str, Any]] = {
        "large": {"data": large, "compression": "lzw"},
        "predictor": {"data": smooth(40, 37, 3), "compression": "lzw", "predictor": True},
        "predictor16": {"data": smooth(40, 37, 3, np.uint16), "compression": "deflate", "predictor": True},
        "tiles": {"data": smooth(40, 37, 3), "tile": (16, 32), "compression": "deflate"},
        "planes": {"data": np.moveaxis(smooth(40, 37, 3), -1, 0), "planarconfig": "separate", "photometric": "rgb"},
        "rgba": {"data": smooth(40, 37, 4), "photometric": "rgb", "extrasamples": ["unassalpha"]},
        "inverted": {"data": smooth(40, 37), "photometric": "miniswhite"},
        "float": {"data": RANDOM.normal(size=(20, 30)).astype(np.float32)},
        "turned": {"data": smooth(20, 30, 3), "extratags": [(274, 3, 1, 6, True)]},
    }
    for name, given in further.items():
        with tifffile.TiffWriter(folder / f"{name}.tif") as writer:
            writer.write(**given)
        made.append(folder / f"{name}.tif")
    colors = Image.fromarray(smooth(30, 20), "P")
    colors.putpalette(RANDOM.integers(0, 256, 768).tolist())
    colors.save(folder / "palette.tif")
    return [*made, folder / "palette.tif"]


@pytest.mark.parametrize("make", [pngs, tiffs])
def test_pixels_are_those_that_predict_reads(make: Any, page: Tab, tmp_path: Path) -> None:
    files = make(tmp_path)
    for path, found in zip(files, decoded(page, files), strict=True):
        wanted = read_image(path)
        wanted = wanted[..., :3] if wanted.ndim == 3 else wanted
        assert isinstance(found, np.ndarray), (path.name, found)
        assert found.shape == wanted.shape, path.name
        assert found.dtype == wanted.dtype, path.name
        assert (found == wanted).all(), path.name


def test_what_browsers_decode_is_nearly_the_same(page: Tab, tmp_path: Path) -> None:
    picture = Image.fromarray(smooth(60, 90, 3))
    exif = Image.Exif()
    exif[274] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=90)
    picture.convert("L").save(tmp_path / "gray.jpg")
    picture.save(tmp_path / "full.jpg", subsampling=0)
    picture.save(tmp_path / "lossless.webp", lossless=True)
    picture.save(tmp_path / "picture.bmp")
    files = sorted(tmp_path.iterdir())
    for path, found in zip(files, decoded(page, files), strict=True):
        wanted = read_image(path)
        assert found.shape == wanted.shape, (path.name, found)
        away = np.abs(found.astype(int) - wanted)
        assert away.max() <= (2 if path.suffix == ".jpg" else 0), path.name


def test_faults_are_plain_words(page: Tab, tmp_path: Path) -> None:
    good = png(smooth(20, 20), 8, 0)
    broken = good.replace(b"IDAT", b"IDAT\0", 1)
    Image.fromarray(smooth(20, 20, 3)).save(tmp_path / "whole.jpg")
    Image.fromarray(smooth(20, 20, 4)).save(tmp_path / "seen-through.webp", lossless=True)
    Image.fromarray(smooth(20, 20, 4), "CMYK").save(tmp_path / "print.jpg")
    frames = [Image.fromarray(smooth(20, 20)) for _ in range(2)]
    frames[0].save(tmp_path / "stack.tif", save_all=True, append_images=frames[1:])
    Image.fromarray(smooth(20, 20)).convert("1").save(tmp_path / "bits.tif")
    frames[0].save(tmp_path / "animated.png", save_all=True, append_images=frames[1:])
    cases = {
        "empty.png": (b"", "is empty (zero bytes)"),
        "cut.png": (good[:-30], "is damaged or ends too early"),
        "broken.png": (broken, "is damaged"),
        "text.png": (b"hello", "is no picture that this page reads; it reads PNG"),
        "scan.dcm": (bytes(128) + b"DICM", "is a DICOM file; this page reads PNG"),
        "large.png": (
            png(np.zeros((1001, 1000), int), 8, 0),
            "has 1000×1001 pixels; this page takes up to 1 megapixels",
        ),
        "cut.jpg": ((tmp_path / "whole.jpg").read_bytes()[:-60], "is damaged or ends too early"),
        "cut.tif": (b"II*\0\x08\0\0\0\x05\0", "is damaged or ends too early"),
        "seen-through.webp": (None, "has transparent pixels"),
        "print.jpg": (None, "is a JPEG for print (CMYK)"),
        "stack.tif": (None, "is a stack of 2 pictures"),
        "bits.tif": (None, "is a TIFF of 1 bits, which this page does not read"),
        "animated.png": (None, "is an animation"),
    }
    for name, (content, _) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    for (name, (_, words)), found in zip(
        cases.items(), decoded(page, [tmp_path / name for name in cases]), strict=True
    ):
        assert isinstance(found, str), name
        assert found.startswith(words), (name, found)
