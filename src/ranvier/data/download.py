"""Files from the network into a cache folder, each checked against the checksum it was published with."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

from ranvier.errors import DataError

_SUMS = "md5sums.txt"
_TIMEOUT = 30  # seconds without a byte
_CHUNK = 1 << 20


def download(checksums: Mapping[str, str], base_url: str, folder: Path) -> None:
    """Make `folder` hold the named files, fetching those that are absent or differ from their checksum.

    A file appears under its name only when it is whole and right. Nothing is printed to standard output.

    Args:
        checksums: MD5 of each file, by file name.
        base_url: where the files are, http or https, with or without a slash at the end.
        folder: where they go; made if absent.

    Raises:
        ValueError: `base_url` is no http or https address.
        DataError: a file cannot be had, or is not the published one.
    """
    import pooch

    _check_address(base_url)
    for name, md5 in checksums.items():
        url = f"{base_url.rstrip('/')}/{name}"
        try:
            pooch.retrieve(url, known_hash=f"md5:{md5}", fname=name, path=folder)
        except OSError as error:  # requests' errors are OSErrors, some of them ValueErrors too
            missing = [name for name in checksums if not (folder / name).is_file()] or [name]
            raise DataError(_unreachable(url, folder, missing, error)) from error
        except ValueError as error:
            raise DataError(
                f"{url} must have the published MD5 {md5}; "
                f"a folder that holds the files can be given as `data_dir` (--data-dir). "
                f"Got a file that differs."
            ) from error


def download_unpacked(names: Iterable[str], base_url: str, folder: Path) -> None:
    """Make `folder` hold the named files, fetching those that are absent as <name>.gz and unpacking them.

    Each is checked against the `md5sums.txt` beside it, lines of a checksum and a file name. Files that are there are
    taken as they are, without the network: what has its name was whole and right when it got it.

    Args:
        names: of the unpacked files.
        base_url: where the compressed files and `md5sums.txt` are, http or https.
        folder: where the files go; made if absent.

    Raises:
        ValueError: `base_url` is no http or https address.
        DataError: a file cannot be had, or is not the published one.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return
    published = _published(base_url, folder, missing)
    for name in missing:
        packed = f"{name}.gz"
        if packed not in published:
            raise DataError(f"{base_url.rstrip('/')}/{_SUMS} must list {packed}. Got no such line.")
        download({packed: published[packed]}, base_url, folder)
        _unpack(folder / packed, folder / name)


def _published(base_url: str, folder: Path, missing: list[str]) -> dict[str, str]:
    import pooch

    _check_address(base_url)
    url, sums = f"{base_url.rstrip('/')}/{_SUMS}", BytesIO()
    try:
        pooch.HTTPDownloader(timeout=_TIMEOUT)(url, sums, None)
    except OSError as error:
        raise DataError(_unreachable(url, folder, missing, error)) from error
    lines = [line.split() for line in sums.getvalue().decode("utf-8", "replace").splitlines()]
    return {line[1].lstrip("*"): line[0].lower() for line in lines if len(line) == 2}


def _unpack(packed: Path, path: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".unpacking-") as room:
            whole = Path(room) / path.name
            with gzip.open(packed) as source, whole.open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
            whole.replace(path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{packed} must be a whole gzip file, as its name says. Got: {error}.") from error
    except OSError as error:
        raise DataError(f"{path} must be a file that can be written. Got: {error.strerror or error}.") from error
    packed.unlink()


def _check_address(base_url: str) -> None:
    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f"`base_url` must start with http:// or https://. Got {base_url!r}.")


def _unreachable(url: str, folder: Path, missing: Iterable[str], error: OSError) -> str:
    return (
        f"{url} must be within reach, because {folder} lacks {', '.join(missing)}; "
        f"a folder that holds the files can be given as `data_dir` (--data-dir). Got {_reason(error)}."
    )


def _reason(error: OSError) -> str:
    response = getattr(error, "response", None)
    if response is None:
        return error.strerror or type(error).__name__
    response.close()  # pooch leaves the connection of a refused request open
    return f"HTTP status {response.status_code}"
