"""
Read the folder of an export, and find here what it names. The folder comes from outside, so it must not name a file
outside itself.
"""

import json
import sqlite3
from pathlib import Path
from typing import Any

from modelgate_server.errors import Invalid, StartError
from modelgate_server.exporting import FORMAT, INDEX
from modelgate_server.settings import MIB
from modelgate_server.store import accounts, artifacts, projects
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.blobs import Blobs


class Source:
    """
    The folder of an export. entity, name: of the exported project. target: `entity/project` here. not_carried: what
    could not be imported.
    """

    def __init__(self, folder: Path, target: str | None) -> None:
        self._folder = folder.resolve()
        self.index = self.read_document(INDEX)
        if self.index["format"] != FORMAT:
            raise StartError(
                f"the export's format is {self.index['format']}, not {FORMAT}", "use a server that fits it"
            )
        self.entity, self.name = self.index["entity"], self.index["project"]["name"]
        self.target = target or f"{self.entity}/{self.name}"
        self.not_carried: list[str] = []

    def locate(self, where: str) -> Path:
        path = (self._folder / where).resolve()
        if not path.is_relative_to(self._folder) or not path.is_file():
            raise Invalid(f'the export has no file "{where}"')
        return path

    def read_document(self, where: str) -> Any:
        try:
            return json.loads(self.locate(where).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise Invalid(f'"{where}" is damaged: {error}') from None

    def read_collection(self, folder: str) -> Any:
        """Return the document of the collection that a version's folder is in."""
        return self.read_document(f"{folder.rpartition('/')[0]}/collection.json")

    def copy_files(self, blobs: Blobs, folder: str, listed: list[dict[str, Any]]) -> None:
        """Copy files of the export into the blob folder, durably, unless they are there and intact."""
        needed = [(entry["md5"], entry["file"]) for entry in listed if entry["md5"] is not None]
        for md5, name in needed:
            if blobs.renew(md5) and blobs.is_right(md5):
                continue
            with blobs.begin_upload() as copy, self.locate(f"{folder}/{name}").open("rb") as file:
                while piece := file.read(MIB):
                    copy.write(piece)
                if copy.compute_md5() != md5:
                    raise Invalid(f'"{folder}/{name}" is damaged: its MD5 is {copy.compute_md5()}, not {md5}')
                copy.keep()
        blobs.make_durable([md5 for md5, _ in needed])

    def find_version(self, db: sqlite3.Connection, reference: dict[str, str]) -> Artifact | None:
        """
        Return the version that has this name on the other server. Names in the exported project are looked up in the
        target.
        """
        home, _, version = reference["version"].rpartition("/")
        collection, _, number = version.rpartition(":v")
        project = projects.find_by_path(db, self.target if home == f"{self.entity}/{self.name}" else home)
        artifact = artifacts.find_by_number(db, project.id, collection, int(number)) if project else None
        if artifact is None or artifact.digest != reference["digest"] or artifact.state != "COMMITTED":
            return None
        return artifact


def find_user_id(db: sqlite3.Connection, name: str | None) -> int | None:
    user = accounts.find_user(db, name) if name else None
    return user.id if user else None
