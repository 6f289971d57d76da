"""Writes what runs a model inside the exported page: ONNX Runtime for browsers, as package data of `delineate.page`.

    python tools/fetch_page_runtime.py

It takes the WebAssembly build from the npm package and the license texts from the wheel of the same version (the npm package has
none), checks each file against the hash below, and writes to `src/delineate/page/runtime/`:

    ort.js.xz       the program, as a plain script in place of a module: a page opened from a file starts no module workers
    ort.wasm.xz     the compiled part, which the program loads
    LICENSE.txt     of ONNX Runtime (MIT)
    notices.txt.xz  of what is compiled into it
    version.json    version and hashes

To take a newer version, change `VERSION` and the hashes; a wrong one is an error that names the right one.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from pathlib import Path

VERSION = "1.30.0"
PACKAGE = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
PROGRAM, COMPILED = "package/dist/ort.wasm.bundle.min.mjs", "package/dist/ort-wasm-simd-threaded.wasm"
LICENSE, NOTICES = "onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt"
HASHES = {
    PACKAGE: "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
    PROGRAM: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    COMPILED: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    LICENSE: "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c",
    NOTICES: "143764b952fdb1a7c69ce653bfba74a7744d6a8a573bfb73e235fba356c83de3",
}
"""SHA-256 of what is fetched."""
OUT = Path(__file__).parents[1] / "src" / "delineate" / "page" / "runtime"


def main() -> None:
    with urllib.request.urlopen(PACKAGE) as answer:
        content = checked(PACKAGE, answer.read())
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        program, compiled = (checked(name, inside(archive, name)) for name in (PROGRAM, COMPILED))
    texts = license_texts()
    script = as_script(program.decode())
    OUT.mkdir(parents=True, exist_ok=True)
    written = {
        "ort.js.xz": packed(script.encode()),
        "ort.wasm.xz": packed(compiled),
        "LICENSE.txt": texts[LICENSE],
        "notices.txt.xz": packed(texts[NOTICES]),
    }
    for name, data in written.items():
        (OUT / name).write_bytes(data)
    sources = {name.rpartition("/")[2]: digest for name, digest in HASHES.items()}
    about = {"name": "onnxruntime-web", "version": VERSION, "license": "MIT", "sha256": sources}
    (OUT / "version.json").write_text(json.dumps(about, indent=2) + "\n")
    print("\n".join(f"{OUT / name}: {len(data)} bytes" for name, data in written.items()))


def license_texts() -> dict[str, bytes]:
    """From the wheel, whichever of its builds this machine takes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--dest", folder, f"onnxruntime=={VERSION}"], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return {name: checked(name, archive.read(name)) for name in (LICENSE, NOTICES)}


def as_script(program: str) -> str:
    """A module as a plain script: `export{a as B, …};` at the end → `const ort={B:a, …};`, and its address by another name."""
    found = re.search(r"export\{([^{}]*)\};\s*(?://# sourceMappingURL=\S+)?\s*$", program)
    if found is None:
        raise SystemExit(f"{PROGRAM} does not end with an export")
    pairs = [part.split(" as ") for part in found[1].split(",")]
    exported = ",".join(f"{outside}:{own}" for own, outside in pairs)
    body = program[: found.start()].replace("import.meta.url", "self.location.href")
    return f"{body}const ort={{{exported}}};\n"


def inside(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise SystemExit(f"{name} is no file")
    return member.read()


def checked(name: str, content: bytes) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != HASHES[name]:
        raise SystemExit(f"{name} has the SHA-256 {found}, not {HASHES[name]}")
    return content


def packed(content: bytes) -> bytes:
    return lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)


if __name__ == "__main__":
    main()
