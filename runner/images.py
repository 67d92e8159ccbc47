"""
Build the images of the steps and of the server, each with a tag that says what it is made of.

The steps that run a use case's code are built on the image of a framework, which has only packages. It is built once,
so after a change to a file of the project or of the use case, only kilobytes are built.

A tag is the hash of everything that an image is made of: the Dockerfile, the files that it copies, its base. So the
same tag is the same image, and an image whose tag exists is not built again. A build gets exactly the files that were
hashed, with fixed modes: no other file, no key and no umask can end up in an image.

This needs only Python, so that a workflow can ask for the tags before anything is installed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import threading
import time
import tomllib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from modelgate import config
from runner import engine, progress
from runner.errors import BuildFailed, WrongUse
from runner.processes import Stop

SERVER = "server"  # the only image without a use case
LOOP = ("build", "train", "link", "evaluate", "promote", SERVER)  # the images that a run in containers needs
NAMES = (*LOOP, "predict", "serve")
REPOSITORY = "modelgate"
# The folders in docker/ of the base images of build, train and evaluate: a framework's packages, and a use case's.
FRAMEWORKS, PACKAGES = "frameworks", "packages"
# The images that are built on the image of the model's framework, because they load or make a model.
WITH_MODEL = ("train", "evaluate", "predict", "serve")
# The base image of build for every framework: it has what tables and texts need.
OF_BUILD = "sklearn"
# The kinds of files that are copied from a whole folder: those that the server has, and no key.
WHOLE = {".py", ".sql", ".graphql", ".html", ".css", ".js", ".svg", ".txt"}
# A use case's folder may also have rows.
OF_USE_CASES = {".py", ".toml", ".csv", ".parquet", ".npz", ".json", ".txt"}
NETWORK = "model.py"
AT_ONCE = 2  # one build for each of two cores
LOG_LINES = 20
# BuildKit's plain progress: `#7 [stage-0  3/12] RUN ...`, in newer ones without the stage.
_STEP = re.compile(r"^#\d+ \[(?:\S+ )? *(\d+)/(\d+)\] (.*)")


class Image(NamedTuple):
    """
    An image as it must be now. folder: that of its Dockerfile. inputs: paths from the root, sorted. arguments: its
    build args. base: the image of ours that it is built on, which must exist first.
    """

    name: str
    reference: str
    folder: str
    inputs: tuple[str, ...]
    arguments: Mapping[str, str]
    base: Image | None = None


def wanted(
    root: Path, use_case: str | None, *, base: str | None = None, repository: str = REPOSITORY
) -> dict[str, Image]:
    """Return every image of a step or the server by its name, tagged by its inputs; without a use case, only the
    server's.
    """
    on = {"BASE": base} if base else {}
    if use_case is None:
        return {SERVER: _create_image(root, repository, SERVER, SERVER, on)}
    framework = _read_framework(root, use_case)
    frameworks = {name: _create_framework_image(root, repository, name, use_case, on) for name in (framework, OF_BUILD)}
    stand_on = {"build": frameworks[OF_BUILD]} | dict.fromkeys(WITH_MODEL, frameworks[framework])
    images = {}
    for name in NAMES:
        arguments = {} if name == SERVER else {"USE_CASE": use_case}
        if image := stand_on.get(name):
            images[name] = _create_image(root, repository, name, name, arguments | {"FRAMEWORK": framework}, image)
        else:
            images[name] = _create_image(root, repository, name, name, arguments | on)
    return images


def add_bases(images: Sequence[Image]) -> list[Image]:
    """Return these images, each after its base images and only once."""
    return _drop_duplicates(image for wanted in images for image in reversed([wanted, *_list_bases(wanted)]))


def _list_bases(image: Image) -> Iterator[Image]:
    while (base := image.base) is not None:
        yield base
        image = base


def _drop_duplicates(images: Iterable[Image]) -> list[Image]:
    return list({image.reference: image for image in images}.values())


def _read_framework(root: Path, use_case: str) -> str:
    """Return the framework that the use case's config.toml names. The caller has checked it."""
    table = tomllib.loads((root / "usecases" / use_case / "config.toml").read_text(encoding="utf-8"))
    return str(table.get("framework", config.FRAMEWORKS[0]))


def read_lock(root: Path, use_case: str) -> str | None:
    """Return the lock of what a use case adds to its framework's packages, if any; raise WrongUse if it is missing."""
    lock, source = (f"usecases/{use_case}/requirements.{kind}" for kind in ("txt", "in"))
    if (root / lock).is_file():
        return lock
    if (root / source).is_file():
        raise WrongUse(f"{source} has no lock next to it ({lock})", "create the lock: make lock")
    return None


def _create_framework_image(root: Path, repository: str, framework: str, use_case: str, on: Mapping[str, str]) -> Image:
    """Return the base image of a step of the use case: the framework's packages, then the use case's own if it has a
    lock.
    """
    image = _create_image(root, repository, framework, FRAMEWORKS, {"FRAMEWORK": framework} | dict(on))
    if read_lock(root, use_case) is None:
        return image
    return _create_image(root, repository, f"{framework}-{PACKAGES}", PACKAGES, {"USE_CASE": use_case}, image)


def _create_image(
    root: Path, repository: str, name: str, folder: str, arguments: Mapping[str, str], base: Image | None = None
) -> Image:
    paths = list_inputs(root, folder, arguments)
    files = {path: hashlib.sha256((root / path).read_bytes()).hexdigest() for path in paths}
    tag_of_base = base.reference.rpartition(":")[2] if base else None
    text = json.dumps({"arguments": dict(arguments), "base": tag_of_base, "files": files}, sort_keys=True)
    use_case = [arguments["USE_CASE"]] if "USE_CASE" in arguments else []
    tag = "-".join([*use_case, hashlib.sha256(text.encode()).hexdigest()[:12]])
    build_arguments = dict(arguments) | ({"FRAMEWORK_IMAGE": base.reference} if base else {})
    return Image(name, f"{repository}/{name}:{tag}", folder, paths, build_arguments, base)


def get_dockerfile(folder: str) -> str:
    return f"docker/{folder}/Dockerfile"


def list_inputs(root: Path, folder: str, arguments: Mapping[str, str]) -> tuple[str, ...]:
    """Return the Dockerfile of a folder in docker/ and every file that it copies, as paths from the root."""
    paths = {get_dockerfile(folder)}
    for source in list_copied((root / get_dockerfile(folder)).read_text(encoding="utf-8"), arguments):
        path = root / source
        kinds = OF_USE_CASES if source.startswith("usecases/") else WHOLE
        files = [path, *(file for file in path.rglob("*") if file.suffix in kinds)]
        if not (files := [file for file in files if file.is_file()]):
            raise BuildFailed(
                f"{get_dockerfile(folder)} copies {source}, but that file does not exist", "fix its COPY line"
            )
        paths |= {
            str(file.relative_to(root))
            for file in files
            if not _is_left_out(file.relative_to(path), source, folder, arguments.get("FRAMEWORK", ""))
        }
    return tuple(sorted(paths))


def _is_left_out(file: Path, copied_folder: str, folder: str, framework: str) -> bool:
    """
    Return whether a file stays out of an image although its whole folder is copied: compiled, built, hidden, or a test.

    A pull request may change a model's network and be promoted, so no image that judges may run it. For scikit-learn,
    the loader only reads in it, without running it, which of scikit-learn's own types the file may hold.
    """
    if copied_folder.startswith("usecases/") and file.name == NETWORK:
        return folder != "train" and not (folder in WITH_MODEL and framework == "sklearn")
    private = any(part in ("__pycache__", "build") or part.startswith(".") for part in file.parts)
    return private or file.name.startswith("test_")


def list_copied(text: str, arguments: Mapping[str, str]) -> list[str]:
    """Return the sources of a Dockerfile's COPY lines, with each ARG replaced by its argument or its default."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    instructions = [line.split() for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]
    defaults = dict(
        instruction[1].split("=", 1)
        for instruction in instructions
        if instruction[0] == "ARG" and "=" in instruction[1]
    )
    sources = [source for instruction in instructions if instruction[0] == "COPY" for source in instruction[1:-1]]
    known = defaults | dict(arguments)
    return [re.sub(r"\$\{(\w+)\}", lambda match: known[match[1]], source) for source in sources]


def fetch_base(root: Path, chosen: str | None = None) -> str:
    """
    Return the base of every image, after making sure that the engine has it: a build may leave it only in BuildKit's
    cache.

    chosen: its name, if it is not the one in the Dockerfiles.
    """
    names = re.findall(
        r"^FROM (\S+) AS pinned$", (root / get_dockerfile("link")).read_text(encoding="utf-8"), re.MULTILINE
    )
    name = chosen or names[0]
    if engine.ask("image", "inspect", name).returncode != 0:
        engine.ask("pull", "--quiet", name)
    return name


# --- building --------------------------------------------------------------------------------------------------------


def prepare(root: Path, images: Sequence[Image], stop: Stop) -> None:
    """Build those of these images that the engine lacks. Raise BuildFailed or Interrupted."""
    if lacking := find_missing(images):
        lacking = _add_missing_bases(lacking)
        with progress.show_builds([image.name for image in lacking]) as report:
            build(root, lacking, stop, report)


def find_missing(images: Sequence[Image]) -> list[Image]:
    """Return the images whose tag the engine does not have."""
    references = [image.reference for image in images]
    # One question for all of them: docker answers for those that exist, even if others are missing.
    answer = engine.ask("image", "inspect", "--format={{json .RepoTags}}", *references) if references else None
    lines = answer.stdout.split("\n") if answer else []
    tags = {tag for line in lines if line.startswith("[") for tag in json.loads(line)}
    return [image for image in images if image.reference not in tags]


def _add_missing_bases(images: Sequence[Image]) -> list[Image]:
    """Return these after the base images that they need. An image that exists does not need its bases."""
    if not (bases := find_missing(_drop_duplicates(image.base for image in images if image.base))):
        return list(images)
    return [*_add_missing_bases(bases), *images]


def build(root: Path, images: Sequence[Image], stop: Stop, report: progress.BuildReport) -> None:
    """
    Build these, two at a time, each after its base. Raise BuildFailed with the last lines of the first that failed, or
    Interrupted.
    """
    labels = _read_labels(root)
    waiting, running = list(images), list[_Build]()
    try:
        while waiting or running:
            unfinished = {image.reference for image in (*waiting, *(build.image for build in running))}
            able = [image for image in waiting if not image.base or image.base.reference not in unfinished]
            for image in able[: AT_ONCE - len(running)]:
                waiting.remove(image)
                running.append(_Build(root, image, labels, report))
            stop.pause()
            for done in [build for build in running if build.has_ended()]:
                running.remove(done)
                done.check()
    finally:
        for left in running:
            left.end()


class _Build:
    """One `docker build`, whose progress a thread reads."""

    def __init__(self, root: Path, image: Image, labels: Mapping[str, str], report: progress.BuildReport) -> None:
        self.image = image
        self._report = report
        self._output: deque[str] = deque(maxlen=LOG_LINES)
        self._began = time.monotonic()
        arguments = dict(labels) | dict(image.arguments)
        command = [
            "docker",
            "build",
            "--progress=plain",
            "--tag",
            image.reference,
            "--file",
            get_dockerfile(image.folder),
        ]
        command += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        self._process = subprocess.Popen(
            [*command, "-"],
            env=os.environ | {"DOCKER_BUILDKIT": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only the runner, which ends this process
        )
        self._reader = threading.Thread(target=self._talk, args=[pack_context(root, image.inputs)], daemon=True)
        self._reader.start()

    def _talk(self, archive: bytes) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101
        try:
            with self._process.stdin as pipe:
                pipe.write(archive)
        except BrokenPipeError:
            pass  # it ended before it read everything: its output says why
        for raw in self._process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self._output.append(line)
            if step := _STEP.match(line):
                self._report(self.image.name, int(step[1]), int(step[2]), " ".join(step[3].split()))

    def has_ended(self) -> bool:
        return not self._reader.is_alive() and self._process.poll() is not None

    def check(self) -> None:
        if self._process.returncode == 0:
            return
        output = "".join(f"\n  | {line}" for line in self._output)
        hint = "fix the problem in the lines above, or run without containers: make run"
        if "buildx" in output or "BuildKit" in output:
            hint = "install docker-buildx, which this `docker` command needs, or run without containers: make run"
        base = self.image.arguments.get("BASE")
        if base and f"> [internal] load metadata for {base}:" in output:  # BuildKit names the step that failed
            hint = f"name a base image that Docker can pull; now BASE_IMAGE={base}"
        raise BuildFailed(f"the image of {self.image.name} could not be built{output}", hint)

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()


def pack_context(root: Path, paths: Sequence[str]) -> bytes:
    """Return the files of a build as a tar archive: their names and bytes, without owner and time."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in paths:
            data = (root / path).read_bytes()
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return archive.getvalue()


def _read_labels(root: Path) -> dict[str, str]:
    """Return where the files come from, for the labels. This does not affect the image's content or tag."""
    commit = _run_git(root, "rev-parse", "HEAD")
    return {"SOURCE": _strip_credentials(_run_git(root, "remote", "get-url", "origin")), "COMMIT": commit}


def _strip_credentials(address: str) -> str:
    """Return a remote's address without secrets: https://host/path, or nothing for a folder of this machine."""
    if not address.startswith(("https://", "http://", "ssh://")) and ":" in address:
        address = f"ssh://{address.replace(':', '/', 1)}"  # git@host:owner/name
    url = urlsplit(address)
    return f"https://{url.hostname}{url.path.removesuffix('.git')}" if url.hostname else ""


def _run_git(root: Path, *args: str) -> str:
    try:
        answer = subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
