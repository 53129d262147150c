"""A step depends on the modules its notebook reaches, by their meaning, and on nothing else of the library."""

import os
import time

import pytest

from kt_lib.errors import ParameterError
from kt_lib.library import DigestMemory, imported_modules, library_digests, path_digests


@pytest.fixture
def package(tmp_path):
    root = tmp_path / "kt_lib"
    for name, text in {
        "__init__.py": '"""A package."""\n',
        "rows.py": "from kt_lib.base import one\n\n\ndef rows():\n    return one()\n",
        "base.py": "def one():\n    return 1\n",
        "cli/__init__.py": "",
        "cli/app.py": "import kt_lib.rows\n",
        "world/__init__.py": "",
        "world/talk.py": "from . import names\ndef late():\n    from kt_lib.base import one\n    return one, names\n",
        "world/names.py": "NAMES = ()\n",
        "world/phrases.yaml": "a: b\n",
        "page.py": "STYLE = 'page.css'\n",
        "page.css": "a {}\n",
        "other.css": "b {}\n",
    }.items():
        file = root / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text)
    return root


def digests(package, *imports):
    return library_digests(imports, DigestMemory(package.parent / "memory.json"), package)


def test_imports_are_followed_into_functions_and_packages_with_their_data(package):
    found = digests(package, "kt_lib.world.talk")
    assert set(found) == {
        "kt_lib", "kt_lib.base", "kt_lib.world", "kt_lib.world.names", "kt_lib.world.talk", "kt_lib/world/phrases.yaml"
    }  # fmt: skip


def test_at_the_top_of_the_package_only_data_that_is_named_counts(package):
    assert "kt_lib/page.css" in digests(package, "kt_lib.page")
    assert "kt_lib/other.css" not in digests(package, "kt_lib.page")
    assert "kt_lib/page.css" not in digests(package, "kt_lib.rows")


@pytest.mark.parametrize(
    ("file", "text", "same"),
    [
        ("base.py", '"""Says one."""\n\n\ndef one():\n    """One."""\n    return 1  # the first\n', True),
        ("base.py", "def one():\n    return 2\n", False),
        ("cli/app.py", "import kt_lib.rows\nprint()\n", True),
        ("world/talk.py", "", True),
    ],
)
def test_only_a_change_of_meaning_in_what_is_reached_counts(package, file, text, same):
    before = digests(package, "kt_lib.rows")
    (package / file).write_text(text)
    assert (digests(package, "kt_lib.rows") == before) is same


def test_a_notebooks_imports_of_the_library_are_read_from_its_cells():
    source = "import pandas\nfrom kt_lib.rows import rows\nimport kt_lib.world.talk as talk"
    assert imported_modules(source) == {"kt_lib.rows", "kt_lib.rows.rows", "kt_lib.world.talk"}


def test_a_digest_is_remembered_until_the_file_changes(tmp_path):
    file, memory = tmp_path / "a", DigestMemory(tmp_path / "memory.json")
    file.write_bytes(b"one")
    long_ago = time.time() - 100
    os.utime(file, (long_ago, long_ago))
    first = memory.of(file)
    memory.save()
    assert DigestMemory(tmp_path / "memory.json").of(file) == first
    file.write_bytes(b"two")
    assert DigestMemory(tmp_path / "memory.json").of(file) != first


def test_a_broken_memory_is_begun_anew(tmp_path):
    (tmp_path / "memory.json").write_text("{broken")
    (tmp_path / "a").write_bytes(b"one")
    assert len(DigestMemory(tmp_path / "memory.json").of(tmp_path / "a")) == 64


def test_a_path_that_is_not_there_is_told_with_its_parameter(tmp_path):
    memory = DigestMemory(tmp_path / "memory.json")
    with pytest.raises(ParameterError, match="01_ingest: parameter 'source': there is no file"):
        path_digests([str(tmp_path / "no.json")], memory, "01_ingest: parameter 'source'")
