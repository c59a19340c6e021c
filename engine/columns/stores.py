"""Where segments stand: a folder, or whatever Arrow or fsspec have a file system for, such as an object store.

    live.db.segments                  a folder beside the ledger
    file:///srv/segments              a folder
    s3://bucket/segments              Arrow's own file systems: S3, Google Cloud Storage, HDFS
    memory://segments, abfs://…       fsspec's, where it is installed

A file appears under its name when it is whole. In a folder that is a rename, after the bytes were forced to the disk; an
object store shows an object when its upload is complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ledger.database.whole_file import fsync_path
from ledger.errors import StorageError, StorageFault

_PIECE = 1 << 20
_TEMPORARY = ".tmp"
# By its age and not by its process, which may run on another machine. Writing a segment takes seconds.
_KILLED_AFTER_S = 86_400


@dataclass(frozen=True)
class Store:
    """A folder of segments. `files`: a pyarrow file system; `root`: the folder in it; `location`: as it was given."""

    location: str
    files: Any
    root: str
    is_local: bool

    def path(self, name: str) -> str:
        """The path of a file in the file system."""
        return f"{self.root}/{name}"

    @contextmanager
    def writing(self, folder: str) -> Iterator[Path]:
        """A temporary file to be written, and then published; it is gone afterwards. `folder`: within the store."""
        if self.is_local:
            parent = Path(self.root) / folder
            parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = parent / f".{os.getpid()}{_TEMPORARY}"
            try:
                yield temporary
            finally:
                temporary.unlink(missing_ok=True)
            return
        with tempfile.TemporaryDirectory(prefix="netbasis-segment-") as aside:
            yield Path(aside) / "file"

    def forget_killed(self, folder: str) -> None:
        """Remove the temporary files of killed processes: those to which nobody has written for a day. Raises OSError."""
        if not self.is_local:
            return
        for path in (Path(self.root) / folder).glob(f".*{_TEMPORARY}"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _KILLED_AFTER_S:
                    path.unlink()

    def publish(self, temporary: Path, name: str) -> None:
        """Let a file that is complete appear under its name, durably; one of that name is replaced."""
        if not self.is_local:
            self.files.create_dir(self.path(name).rpartition("/")[0], recursive=True)
            with temporary.open("rb") as source, self.files.open_output_stream(self.path(name)) as target:
                shutil.copyfileobj(source, target, _PIECE)
            return
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        path = Path(self.path(name))
        temporary.replace(path)
        fsync_path(path.parent)

    def digest(self, name: str) -> bytes | None:
        """The SHA-256 of a file; None when there is none. Raises OSError."""
        try:
            if self.is_local:
                with Path(self.path(name)).open("rb") as file:
                    return hashlib.file_digest(file, "sha256").digest()
            digest = hashlib.sha256()
            with self.files.open_input_stream(self.path(name)) as stream:
                while piece := stream.read(_PIECE):
                    digest.update(piece)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return digest.digest()

    def size(self, name: str) -> int | None:
        """The bytes of a file; None when there is none. Raises OSError."""
        found: int | None = self.files.get_file_info(self.path(name)).size
        return found

    def read(self, name: str) -> bytes | None:
        """The bytes of a small file; None when there is none. Raises OSError."""
        try:
            with self.files.open_input_stream(self.path(name)) as stream:
                return bytes(stream.read())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, within the store. Raises OSError."""
        from pyarrow.fs import FileSelector, FileType

        found = self.files.get_file_info(FileSelector(self.path(folder), allow_not_found=True))
        return sorted(f"{folder}/{each.base_name}" for each in found if each.type == FileType.File)

    def remove(self, name: str) -> None:
        """Remove a file. Raises OSError."""
        self.files.delete_file(self.path(name))

    def folders(self) -> list[str]:
        """The names of the folders of books, sorted. Raises OSError."""
        from pyarrow.fs import FileSelector, FileType

        found = self.files.get_file_info(FileSelector(self.root, allow_not_found=True))
        return sorted(each.base_name for each in found if each.type == FileType.Directory)


def open_store(location: str) -> Store:
    """The store at a path or URL; a folder need not exist yet. Raises StorageError `url_not_supported`, `extra_missing`."""
    fs = _arrow().fs
    scheme = urlsplit(location).scheme if "://" in location else ""
    if scheme in ("", "file"):
        path = location.removeprefix("file://")
        return Store(location, fs.LocalFileSystem(), str(Path(path).absolute()), is_local=True)
    try:
        files, root = fs.FileSystem.from_uri(location)
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError: a scheme that is not Arrow's own
        return _of_fsspec(location, fs, error)
    return Store(location, files, root.rstrip("/"), is_local=False)


def _of_fsspec(location: str, fs: Any, cause: Exception) -> Store:
    try:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(location)
    except (ImportError, ValueError, OSError) as error:
        raise StorageError(
            StorageFault.URL_NOT_SUPPORTED,
            "no such place for segments",
            expected="a folder, a URL of Arrow's file systems such as s3://…, or one of fsspec's where it is installed",
            actual=location_shown(location),
        ) from (error if not isinstance(error, ImportError) else cause)
    return Store(location, fs.PyFileSystem(fs.FSSpecHandler(files)), root.rstrip("/"), is_local=False)


@contextmanager
def told(store: Store) -> Iterator[None]:
    """Errors of a store are raised as StorageError `segments_unreachable`."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            StorageFault.SEGMENTS_UNREACHABLE,
            "the segments cannot be read or written",
            actual=f"{location_shown(store.location)}: {error}",
            advice="check the place, its rights and its free space, and run the command again; the ledger is whole",
        ) from error


def location_shown(location: str) -> str:
    """A location without a password, to be told."""
    if "://" not in location:
        return location
    parts = urlsplit(location)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _arrow() -> Any:
    """pyarrow, with its file systems and Parquet. Raises StorageError `extra_missing`."""
    try:
        import pyarrow.fs
        import pyarrow.parquet
    except ImportError as error:
        raise extra_missing("segments") from error
    return pyarrow


def extra_missing(what: str) -> StorageError:
    """The error for a machine without the libraries. `what` needs them."""
    return StorageError(
        StorageFault.EXTRA_MISSING,
        f"{what} need libraries that are not installed",
        expected="the extra columns",
        advice="install it with: pip install 'netbasis[columns]'",
    )
