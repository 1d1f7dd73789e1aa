"""What `manage.py lint --shape` counts."""

from pathlib import Path

import pytest

from deploy.tooling.shape import Shape, measure

CODE = """
class Site:
    def look(self):
        '''Observe it.'''
        return self._once() + self._twice()

    def _once(self):
        return self._twice()

    def _twice(self):
        return 1

    def __len__(self):
        return _decorated()


@property
def _decorated():
    return 2


def bare():
    return 3
"""


@pytest.fixture
def shape(tmp_path: Path) -> Shape:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001.py").write_text("def ignored():\n    pass\n")
    (tmp_path / "site.py").write_text(CODE)
    (tmp_path / "long.py").write_text("x = 1\n" * 301)
    return measure([tmp_path])


def test_a_private_function_with_one_mention_is_a_helper(shape: Shape):
    assert [(helper.name, helper.lines) for helper in shape.helpers] == [("_once", 2)]


def test_public_functions_are_counted_with_and_without_docstring(shape: Shape):
    assert (shape.public, shape.documented) == (2, 1)


def test_long_files_are_named_and_migrations_left_out(shape: Shape, tmp_path: Path):
    assert shape.long_files == [(tmp_path / "long.py", 301)]
    assert shape.files == 2


def test_the_report_ends_with_the_shares(shape: Shape, tmp_path: Path):
    assert shape.report(tmp_path).splitlines()[-2:] == [
        "private functions with one caller: 1 (16.7%)",
        "public functions with a docstring: 1 (50%)",
    ]
