"""The README: its tables equal the folders, and its commands are there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_its_table_of_notebooks_equals_the_folder_and_their_questions():
    rows = dict(re.findall(r"^\| \[(\w+)\]\(notebooks/\w+\.ipynb\) \| (.+) \|$", README, re.MULTILINE))
    files = {file.stem: file.read_text() for file in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(rows) == set(files)
    for name, question in rows.items():
        assert f"# {question}" in files[name], name


def test_its_tree_names_what_stands_at_the_top():
    told = {name.rstrip("/") for name in re.findall(r"^\| `([\w./]+)` \|", README, re.MULTILINE)}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    top = {name.split("/")[0] for name in tracked if not name.startswith(".")}
    assert top == told | {"README.md", "pyproject.toml"}


def test_every_command_it_names_is_one():
    said = subprocess.run([sys.executable, "-m", "kt_lib", "--help"], capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"^kt ([\w-]+)", README, re.MULTILINE)) | set(re.findall(r"`([a-z-]+)`[,)]", README))
    commands = set(re.findall(r"^  ([a-z-]+)  ", said, re.MULTILINE))
    assert named <= commands | {"outputs"}
    assert len(named) > 10


def test_its_links_and_its_picture_are_there():
    for target in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (ROOT / target).exists(), target


def test_it_says_where_the_weakness_is_from():
    assert "put into its training data on purpose" in " ".join(README.split())
