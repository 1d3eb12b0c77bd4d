"""Files of the store that changed on disk: found before they are used, never silently used."""

import random
import shutil

import pytest

from alignlab.core import checksums, tables
from alignlab.core.errors import AlignlabError

FLIPS = 400
MEND = "remove .* and run `snakemake "


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_no_flipped_bit_of_a_table_becomes_another_value(table):
    before, content = tables.read("metrics", table), table.read_bytes()
    chance, found = random.Random(0), 0
    for _ in range(FLIPS):
        table.write_bytes(flipped(content, chance.randrange(8 * len(content))))
        try:
            assert tables.read("metrics", table).equals(before)
        except AlignlabError:
            found += 1
    # The others hit what nobody reads, such as descriptions of columns.
    assert found > 0.9 * FLIPS


def test_damage_in_the_middle_of_a_stream_is_named(table):
    content = table.read_bytes()
    table.write_bytes(flipped(content, 4 * len(content)))
    with pytest.raises(AlignlabError, match=rf"{table.name}: damaged .*{MEND}"):
        list(tables.rows("metrics", table))


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_truncated_table_is_named_by_every_reader(table, keep):
    table.write_bytes(table.read_bytes()[:keep])
    for read in (tables.spec_of, lambda path: next(tables.rows("metrics", path))):
        with pytest.raises(AlignlabError, match=f"{table.name}: damaged or truncated .*{MEND}"):
            read(table)


@pytest.fixture
def model(tmp_path):
    """A folder that was made as models and adapters are."""
    folder = tmp_path / "model-0123456789ab"
    with tables.building(folder) as temporary:
        (temporary / "reward").mkdir()
        (temporary / "reward" / "adapter_model.safetensors").write_bytes(b"w" * 1000)
        (temporary / "model.safetensors").write_bytes(bytes(range(256)) * 40)
        (temporary / "tokenizer.json").write_text("{}")
    return folder


def test_a_job_ends_before_it_uses_a_damaged_folder(started, model, tmp_path):
    (model / "model.safetensors").write_bytes(b"")
    run = started("Path('used').touch()", model)
    assert f"{model.name}/model.safetensors: damaged, " in run.communicate(timeout=60)[1]
    assert run.returncode == 1
    assert not (tmp_path / "used").exists()


def test_a_whole_folder_passes(model):
    (model / ".snakemake_timestamp").touch()
    checksums.verify(model)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "tokenizer.json", "reward/adapter_model.safetensors"]
)
def test_a_damaged_folder_is_found(model, name):
    content = (model / name).read_bytes()
    for damaged in (flipped(content, 8), content[:-1]):
        (model / name).write_bytes(damaged)
        with pytest.raises(AlignlabError, match=f"{model.name}/{name}: damaged, .*{MEND}"):
            checksums.verify(model)
    (model / name).unlink()
    with pytest.raises(AlignlabError, match=f"{model.name}/{name}: missing, .*{MEND}"):
        checksums.verify(model)


def test_a_copy_without_some_files_is_found(model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    checksums.verify(copy)
    shutil.rmtree(copy / "reward")
    with pytest.raises(AlignlabError, match="missing"):
        checksums.verify(copy)


def test_every_script_checks_its_inputs(repository_root):
    scripts = list((repository_root / "workflow/scripts").glob("*.py"))
    assert scripts
    assert all("\nwith job(snakemake" in script.read_text() for script in scripts)
