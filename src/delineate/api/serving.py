"""Trained models behind an address."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from delineate.common.errors import DelineateError
from delineate.common.quantities import as_bytes, as_seconds
from delineate.requests.serve import ServeOptions
from delineate.requests.signature import takes

if TYPE_CHECKING:
    from delineate.serve.models import ServedModel
    from delineate.serve.server import Settings

__all__ = ["check_packages", "make_serving_app", "named", "serve_models"]

_PACKAGES = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}
"""Module → the package that has it."""


@takes(ServeOptions)
def serve_models(
    models: Path | str | Sequence[Path | str] | Mapping[str, Path | str],
    *,
    told: Callable[[str], None] = print,
    **options: Unpack[ServeOptions],
) -> None:
    """Serve trained models over HTTP until a signal (SIGTERM, Ctrl-C) stops it; what was accepted is finished then.

    Args:
        models: A `model.safetensors`, a run folder or an exported `.onnx` file; several; or names with such. Without names, models
            are called as their folders or files.
        told: Called with lines for people: the address, and what is unsafe.

    Raises:
        DelineateError: A package is missing (`pip install 'delineate-seg[serve]'`), a model cannot be used, the address is taken,
            or others than this machine could use the server without a key.

    Example:
        ```python
        delineate.serve_models("runs/polyps", port=8000)
        delineate.serve_models({"polyps": "runs/polyps", "hearts": "hearts.onnx"}, host="0.0.0.0", keys="keys.txt")
        ```
    """
    check_packages()
    settings = _settings(options)
    settings.check()
    from delineate.serve.server import Serving

    Serving(_opened(named(_pairs(models)), options), settings, told=told).run()


@takes(ServeOptions)
def make_serving_app(
    models: Path | str | Sequence[Path | str] | Mapping[str, Path | str], **options: Unpack[ServeOptions]
) -> Any:
    """The same as an ASGI application, for another server to run: Ray Serve, or one with TLS. Models are ready when it is returned.

    Args:
        models: As for `serve_models`.

    Returns:
        The application. That server's own limits for slow clients and connections apply, and it handles signals.

    Raises:
        DelineateError: As for `serve_models`, or a model cannot predict.

    Example:
        ```python
        app = delineate.make_serving_app({"polyps": "runs/polyps"}, allow_host=["seg.example"])
        ```
    """
    check_packages()
    settings = _settings(options)
    from delineate.serve.server import guarded_app, make_service, warm_all

    service = make_service(_opened(named(_pairs(models)), options), settings)
    warm_all(service, settings.batch)
    if service.fault:
        raise DelineateError(service.fault)
    return guarded_app(service, settings)


def check_packages() -> None:
    """Raise `DelineateError` naming what is missing of the extra `serve`."""
    from importlib.util import find_spec

    missing = [package for module, package in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise DelineateError(f"serving needs {' and '.join(missing)}: pip install 'delineate-seg[serve]'")


def _settings(options: ServeOptions) -> Settings:
    from delineate.serve.limits import Limits
    from delineate.serve.server import Settings

    for name in options["allow_host"]:
        if not re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", name):  # it would never be that of a request
            raise DelineateError(
                f"--allow-host {name}: give a name alone, without port or path, such as seg.clinic.example"
            )
    limits = Limits(
        queue=options["queue"],
        memory=as_bytes(options["memory"], "--memory"),
        body=as_bytes(options["max_body"], "--max-body"),
        pixels=options["max_pixels"],
        slices=options["max_slices"],
        files=options["max_slices"],
        timeout=as_seconds(options["timeout"], "--timeout"),
        keep=as_seconds(options["keep"], "--keep"),
        grace=as_seconds(options["grace"], "--grace"),
    )
    return Settings(
        host=options["host"],
        port=options["port"],
        keys=_path(options["keys"]),
        insecure=options["insecure"],
        allowed_hosts=options["allow_host"],
        batch=options["batch_size"],
        workers=options["workers"],
        scratch=_path(options["scratch"]),
        collection=_path(options["collect"]),
        samples=_path(options["samples"]),
        pacs=options["pacs"],
        limits=limits,
    )


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)


def _pairs(models: Path | str | Sequence[Path | str] | Mapping[str, Path | str]) -> list[tuple[str, Path]]:
    if isinstance(models, Mapping):
        return [(name, Path(path)) for name, path in models.items()]
    paths = [models] if isinstance(models, str | Path) else list(models)
    return [("", Path(path)) for path in paths]


def named(pairs: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Name → file or folder; where the name is "", that of the run's folder or of the file.

    Raises `DelineateError` for names that are taken twice, or cannot be in an address.
    """
    if not pairs:
        raise DelineateError("there is no model to serve: give a model.safetensors, a run folder or an .onnx file")
    found: dict[str, Path] = {}
    for given, path in pairs:
        name = given or _name_of(path)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise DelineateError(
                f"'{name}' cannot be part of an address: give the model a name of letters, digits, '.', '_' and '-' (NAME={path})"
            )
        if name in found:
            raise DelineateError(f"two models would be called '{name}': give names (NAME=MODEL)")
        found[name] = path
    return found


def _name_of(path: Path) -> str:
    """That of the run's folder, or of the file where it is not called `model`."""
    place = path.resolve()
    stem = place.name if place.is_dir() else place.stem
    return place.parent.name if stem == "model" and not place.is_dir() else stem


def _opened(models: Mapping[str, Path], options: ServeOptions) -> list[ServedModel]:
    from delineate.api.prediction import load
    from delineate.inference.model_info import read_info
    from delineate.serve.models import ServedModel

    found = []
    for name, path in models.items():
        exported = path.suffix.lower() == ".onnx"
        device: Any = "cpu" if exported else options["device"]
        loaded = load(path, device, "32" if exported else options["precision"])
        found.append(ServedModel(name, loaded, read_info(path)))
    return found
