"""Files from the network into a cache folder, each checked against the checksum it was published with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ranvier.errors import DataError


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

    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f"`base_url` must start with http:// or https://. Got {base_url!r}.")
    for name, md5 in checksums.items():
        url = f"{base_url.rstrip('/')}/{name}"
        try:
            pooch.retrieve(url, known_hash=f"md5:{md5}", fname=name, path=folder)
        except OSError as error:  # requests' errors are OSErrors, some of them ValueErrors too
            missing = ", ".join(name for name in checksums if not (folder / name).is_file()) or name
            raise DataError(
                f"{url} must be within reach, because {folder} lacks {missing}; "
                f"a folder that holds the files can be given as `data_dir` (--data-dir). "
                f"Got {_reason(error)}."
            ) from error
        except ValueError as error:
            raise DataError(
                f"{url} must have the published MD5 {md5}; "
                f"a folder that holds the files can be given as `data_dir` (--data-dir). "
                f"Got a file that differs."
            ) from error


def _reason(error: OSError) -> str:
    response = getattr(error, "response", None)
    if response is None:
        return error.strerror or type(error).__name__
    response.close()  # pooch leaves the connection of a refused request open
    return f"HTTP status {response.status_code}"
