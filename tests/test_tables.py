"""Tables in notebooks: texts whole and harmless, rates with their interval."""

from kt_lib.records import Rate
from kt_lib.tables import Table, in_words

LONG = "run `ls -la` in `/srv/repo` " * 10


def test_a_long_text_is_shown_whole_where_pandas_would_cut_it():
    assert LONG.strip() in Table([{"chat": LONG}])._repr_html_()


def test_markup_in_a_text_stays_text():
    told = Table([{"<b>name</b>": "<script>alert(1)</script>"}])._repr_html_()
    assert "<script>" not in told
    assert "<b>" not in told
    assert "&lt;script&gt;" in told


def test_a_secret_is_taken_out_and_a_mark_that_turns_text_around_is_written_out():
    told = Table([{"said": "token ghp_" + "a1B2" * 9 + " \u202egpj.exe"}])._repr_html_()
    assert "ghp_a1B2" not in told
    assert "[U+202E]" in told


def test_figures_stand_to_the_right_and_words_to_the_left():
    told = Table([{"n": 12, "why": "short"}])._repr_html_()
    assert 'text-align:right;white-space:pre-wrap;vertical-align:top">12<' in told
    assert 'text-align:left;white-space:pre-wrap;vertical-align:top">short<' in told


def test_values_are_said_in_words():
    assert in_words(Rate(value=0.978, low=0.884, high=0.996, n=1045)) == "97.8% (88.4 to 99.6, n 1,045)"
    assert in_words(Rate(value=None, low=None, high=None, n=0)) == "not measured"
    assert [in_words(value) for value in (True, None, 1234, 0.12345)] == ["yes", "", "1,234", "0.123"]
    assert [in_words(value) for value in (["a", 2], ())] == ["a, 2", "none"]


def test_rows_may_lack_a_column_and_the_text_form_is_a_line_each():
    assert repr(Table([{"a": 1}, {"a": 2, "b": "two\nlines"}])) == "a  b\n1\n2  two lines"


def test_a_table_without_rows_says_so():
    assert repr(Table([])) == "No rows."
    assert "No rows." in Table([])._repr_html_()
