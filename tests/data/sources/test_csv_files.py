import numpy as np
import pytest

from sae.data.source import open_source
from sae.errors import InputError

ROWS = [["r0", 0.25, 1.0], ["r1", 0.5, -2.0]]


def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("plain.csv", "id,x,y\nr0,0.25,1\nr1,0.5,-2\n", "utf-8"),
        ("bom.csv", "id,x,y\nr0,0.25,1\nr1,0.5,-2\n", "utf-8-sig"),
        ("utf16.csv", "id,x,y\nr0,0.25,1\nr1,0.5,-2\n", "utf-16"),
        ("crlf.csv", "id,x,y\r\nr0,0.25,1\r\nr1,0.5,-2\r\n", "utf-8"),
        ("no_end.csv", "id,x,y\nr0,0.25,1\nr1,0.5,-2", "utf-8"),
        ("decimal_comma.csv", "id;x;y\nr0;0,25;1\nr1;0,5;-2\n", "utf-8"),
        ("semicolon.csv", "id;x;y\nr0;0.25;1\nr1;0.5;-2\n", "utf-8"),
        ("bar.csv", "id|x|y\nr0|0.25|1\nr1|0.5|-2\n", "utf-8"),
        ("tab.tsv", "id\tx\ty\nr0\t0.25\t1\nr1\t0.5\t-2\n", "utf-8"),
        ("quoted.csv", '"id","x","y"\n"r0","0.25","1"\n"r1","0.5","-2"\n', "utf-8"),
        ("blank_lines.csv", "id,x,y\n\nr0,0.25,1\n\nr1,0.5,-2\n\n", "utf-8"),
        ("UPPER.CSV", "id,x,y\nr0,0.25,1\nr1,0.5,-2\n", "utf-8"),
    ],
)
def test_the_same_numbers_however_they_are_written(tmp_path, name, text, encoding):
    source = open_source(written(tmp_path / name, text, encoding))
    assert source.columns == ["id", "x", "y"]
    assert source.types == {"id": "text", "x": "number", "y": "number"}
    assert source.whole().tolist() == ROWS


def test_texts_with_delimiters_line_breaks_and_quotes_in_them(tmp_path):
    text = 'a,b\n"x, y",1\n"line\nbreak",2\n"say ""so""",3\n'
    source = open_source(written(tmp_path / "x.csv", text))
    assert source.whole()[:, 0].tolist() == ["x, y", "line\nbreak", 'say "so"']
    assert source.place(2) == "row 2 (line 5)"


def test_what_counts_as_missing(tmp_path):
    text = "a,b\n1,x\nNA,\n,NA\nnan,?\n"
    found = open_source(written(tmp_path / "x.csv", text)).whole()
    assert found[:, 1].tolist() == ["x", None, None, None]
    assert np.isnan(found[:, 0].astype(float)).tolist() == [False, True, True, True]


def test_the_delimiter_and_the_encoding_may_be_told(tmp_path):
    path = written(tmp_path / "x.csv", "a b,c\nü 1,5\n", "latin-1")
    source = open_source(path, delimiter=" ", encoding="latin-1")
    assert source.columns == ["a", "b,c"]
    assert source.whole().tolist() == [["ü", 1.5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found an empty file"),
        ("\n \n", "found an empty file"),
        ("a,b\n", "rows below the column names, found none"),
        ("a,a\n1,2\n", "found 'a' twice"),
        (",b\n1,2\n", "none for column 1 of 2"),
        ("1,2\n3,4\n", r"column names in line 1, found numbers \('1,2'\)"),
        ("a,b,c\n1,2,3\n4,5\n6,7,8\n", r"3 values in each line, found 2 in row 1 \(line 3\)"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = written(tmp_path / "x.csv", text)
    with pytest.raises(InputError, match=message) as caught:
        open_source(path)
    assert caught.value.key == str(path)


def test_other_letters_are_refused_with_their_place(tmp_path):
    path = written(tmp_path / "x.csv", "a,b\nx,1\né,2\n", "latin-1")
    with pytest.raises(InputError, match=r"byte 0xe9 in line 3.*--data\.encoding latin-1"):
        open_source(path)
    with pytest.raises(InputError, match=r"^encoding: expected an encoding, found 'latin-99'"):
        open_source(path, encoding="latin-99")
    with pytest.raises(InputError, match=r"^delimiter: expected a single character"):
        open_source(path, delimiter=";;", encoding="latin-1")


def test_a_text_among_numbers_is_named(tmp_path):
    source = open_source(written(tmp_path / "x.csv", "a,b\n1,2\n3,four\n5,6\n"))
    with pytest.raises(InputError, match=r"'four' in column b, row 1 \(line 3\)"):
        source.check_numbers(["a", "b"])
    source.check_numbers(["a"])
    comma = written(tmp_path / "z.csv", "a;b\n1,5;x\n2,5;1\nold;2\n3,5;3\n")
    with pytest.raises(InputError, match=r"found 'old' in column a, row 2 \(line 4\); correct it"):
        open_source(comma).check_numbers(["a"])
    # Two of three are texts: that is a column of texts.
    open_source(written(tmp_path / "y.csv", "a\nx\ny\n5\n")).check_numbers(["a"])


def test_texts_that_look_like_numbers_may_be_told(tmp_path):
    path = written(tmp_path / "x.csv", "size,deck\n1,01\n2,\n")
    source = open_source(path, texts=["deck", "another"])
    assert source.types == {"size": "number", "deck": "text"}
    assert source.whole().tolist() == [[1, "01"], [2, None]]
