"""Files that are there whole or not at all: written aside, synced, renamed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from recurra.errors import FolderError


def aside(path: Path) -> Path:
    """Where a file is written before it takes its name; one fixed name, so that a killed writer leaves no heap."""
    return path.with_name(f".{path.name}.writing")


def write_bytes(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that at any moment, a power cut included, the old file or the new one is there whole.

    Raises:
        FolderError: the disk is full, the folder is gone or may not be written; the old file is intact.
    """
    temporary = aside(path)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            pass  # what made writing fail may make removing fail; the file's name says what it is
        raise cannot_write(path, error) from error


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for a text, in UTF-8 with line ends as given."""
    write_bytes(path, text.encode("utf-8"))


def sync_folder(folder: Path) -> None:
    """Make the folder's entries (a rename just done) survive a power cut, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(handle)


def cannot_write(path: Path, error: OSError) -> FolderError:
    """The error for a file that could not be written, in plain words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        given, need = "the disk is full", "free space for the file"
        cure = "free some space, then continue with --resume; what was saved before is intact"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        given, need = "no permission to write", "a folder that you may write to"
        cure = "change the folder's permissions, or name another folder with --out"
    elif error.errno in (errno.ENOENT, errno.ENOTDIR):
        given, need = "the folder is not there", "a folder that stays in place while it is written to"
        cure = "do not move or remove the folder during a run; name another with --out"
    else:
        given, need = f"the file could not be written ({error.strerror or error})", "a folder that can be written to"
        cure = "check the disk, or name another folder with --out"
    return FolderError(given, where=str(path), need=need, cure=cure)
