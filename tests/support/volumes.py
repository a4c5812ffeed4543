"""Folders as a cluster mounts them."""

from __future__ import annotations

import shutil
from pathlib import Path


class ConfigMap:
    """A volume of Kubernetes, updated as its atomic writer does it."""

    def __init__(self, path: Path, files: dict[str, str]) -> None:
        self.path = path
        self._number = 0
        path.mkdir()
        self.swap(files)

    def swap(self, files: dict[str, str]) -> None:
        old = self.path / (self.path / "..data").readlink() if self._number else None
        self._number += 1
        new = self.path / f"..2026_01_02_03_04_05.{self._number:09d}"
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
        (self.path / "..data_tmp").symlink_to(new.name)
        (self.path / "..data_tmp").rename(self.path / "..data")
        for name in files:
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(f"..data/{name}")
        for link in self.path.iterdir():
            if not link.name.startswith("..") and link.name not in files:
                link.unlink()
        if old is not None:
            shutil.rmtree(old)
