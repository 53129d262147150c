"""Artifacts are whole or not there, and what is broken is told with its place."""

import pytest

from kt_lib.artifacts import describe_folder, folder_digest, read_rows, whole_file, write_rows, write_text, write_whole
from kt_lib.errors import ArtifactError
from kt_lib.records import Task, Usage


def rows(count):
    return [Usage(prompt_tokens=number) for number in range(count)]


def test_rows_come_back_as_they_were_written(tmp_path):
    artifact = write_rows(tmp_path, "usages", rows(3))
    assert (artifact.rows, artifact.file) == (3, "usages.jsonl")
    assert list(read_rows(tmp_path / artifact.file, Usage, artifact)) == rows(3)


def test_a_line_separator_inside_a_text_does_not_break_a_row(tmp_path):
    from kt_lib.records import ToolSpec

    spec = ToolSpec(name="a", description="one\u2028two\x85three\r\nfour")
    artifact = write_rows(tmp_path, "tools", [spec])
    assert list(read_rows(tmp_path / artifact.file, ToolSpec, artifact)) == [spec]


def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_part(tmp_path):
    write_rows(tmp_path, "usages", rows(2))

    def broken():
        yield Usage(prompt_tokens=9)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_rows(tmp_path, "usages", broken())
    assert list(read_rows(tmp_path / "usages.jsonl", Usage)) == rows(2)
    assert [file.name for file in tmp_path.iterdir()] == ["usages.jsonl"]


def test_nobody_sees_a_file_before_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    with whole_file(target) as handle:
        handle.write(b"half")
        assert not target.exists()
    assert target.read_bytes() == b"half"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "bytes"),
        (lambda path: path.unlink(), "missing"),
    ],
)
def test_a_cut_off_or_missing_artifact_is_told(tmp_path, damage, said):
    artifact = write_rows(tmp_path, "usages", rows(3))
    damage(tmp_path / artifact.file)
    with pytest.raises(ArtifactError, match=said):
        list(read_rows(tmp_path / artifact.file, Usage, artifact))


def test_a_cut_off_line_and_a_row_of_another_type_are_told_with_their_line(tmp_path):
    artifact = write_rows(tmp_path, "usages", rows(2))
    with pytest.raises(ArtifactError, match="line 1 is no Task"):
        list(read_rows(tmp_path / artifact.file, Task))
    write_whole(tmp_path / "cut.jsonl", b'{"prompt_tokens":1}\n{"prompt_tok')
    with pytest.raises(ArtifactError, match="line 2 is cut off"):
        list(read_rows(tmp_path / "cut.jsonl", Usage))


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 101, "a\0"])
def test_a_path_is_no_artifact_name(tmp_path, name):
    with pytest.raises(ArtifactError, match="no artifact name"):
        write_text(tmp_path, name, "text")


def test_a_folder_is_described_by_its_files_and_an_empty_one_refused(tmp_path):
    folder = tmp_path / "adapters"
    folder.mkdir()
    with pytest.raises(ArtifactError, match="nothing to keep"):
        describe_folder(tmp_path, "adapters")
    (folder / "a").write_bytes(b"one")
    before = describe_folder(tmp_path, "adapters")
    (folder / "b").write_bytes(b"two")
    after = describe_folder(tmp_path, "adapters")
    assert before.bytes == 3
    assert before.sha256 != after.sha256 == folder_digest(folder)
