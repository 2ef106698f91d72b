import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kits_core.errors import KitsError
from kits_core.own_folds import as_split, check_cases, own_hash, read_folds


@pytest.fixture
def write(tmp_path):
    def write(content, name="folds"):
        file = tmp_path / name
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return file

    return write


FIVE = [
    {"train": ["b", "c"], "val": ["a"]},
    {"train": ["a", "c"], "val": ["b"]},
    {"train": ["a", "b"], "val": ["c"]},
]


def test_nnunets_folds(write):
    made = as_split(read_folds(write(FIVE)))
    assert (made.train, made.validation) == (("b", "c"), ("a",))
    assert made.folds == {"a": 0, "b": 1, "c": 2}
    assert set(made.strata.values()) == {"own"}


def test_one_fold_is_a_split_in_two_sides(write):
    made = as_split(read_folds(write([{"train": ["b", "c"], "val": ["a"]}])))
    assert (made.train, made.validation, made.folds) == (("b", "c"), ("a",), {})


def test_tables(write):
    numbered = as_split(read_folds(write("case,fold\na,0\nb,1\nc,2\n")))
    assert numbered == as_split(read_folds(write(FIVE)))
    assert own_hash(numbered) == own_hash(as_split(read_folds(write("\ufeffFold;Case\n2;c\n0;a\n1;b\n"))))
    sides = as_split(read_folds(write("case\tsubset\n张三\tTrain\nb\tval\n")))
    assert (sides.train, sides.validation, sides.folds) == (("张三",), ("b",), {})
    assert own_hash(sides) != own_hash(numbered)


@given(st.dictionaries(st.text("abcé 张", min_size=1).filter(str.strip), st.integers(0, 3), min_size=4))
def test_what_a_table_says_is_what_comes_out(tmp_path_factory, folds):
    folds = {case.strip(): fold for case, fold in folds.items()}
    numbers = sorted(set(folds.values()))
    file = tmp_path_factory.mktemp("t") / "t.csv"
    file.write_text("case,fold\n" + "".join(f"{case},{fold}\n" for case, fold in folds.items()), encoding="utf-8")
    if numbers != list(range(len(numbers))) or len(numbers) == 1:
        with pytest.raises(KitsError, match="numbered from 0"):
            read_folds(file)
    else:
        assert as_split(read_folds(file)).folds == folds


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected nnU-Net's splits_final"),
        ("{}", "got other JSON"),
        ("[{", "JSON that cannot be read"),
        ([{"train": ["a"], "val": "b"}], "got other JSON"),
        ([{"train": ["a", "b"], "val": ["b"]}], "on one side of fold 0, got these twice: b"),
        ([{"train": ["b"], "val": ["a"]}, {"train": ["a"], "val": ["b", "a"]}], "fold 1, got these twice: a"),
        ([*FIVE[:2], {"train": ["b"], "val": ["c", "a"]}], "held out once, got these twice: a"),
        ([*FIVE[:2], {"train": ["b"], "val": ["c"]}], "fold 2 to train on all that the others hold out.*in a;"),
        ([{"train": [], "val": ["a"]}], "a case on each side"),
        ([{"train": ["a"], "val": []}], "a case on each side"),
        ("case,fold\na,0\na,1\n", "in one row, got these twice: a"),
        ("case,fold\na,0\nb,2\n", "numbered from 0 without gaps, got 0, 2"),
        ("case,fold\na,0\nb,x\n", "expected a fold 0, 1, ... for b, got 'x'"),
        ("case,subset\na,train\nb,test\n", "expected train or validation for b, got 'test'"),
        ("name,fold\na,0\n", "got the columns name, fold"),
        ("case,fold\n,0\nb,1\n", "a case's name in every place"),
    ],
)
def test_what_is_wrong_is_named(write, content, message):
    with pytest.raises(KitsError, match=message.replace("...", r"\.\.\.") if "0, 1" in message else message):
        read_folds(write(content))


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(KitsError, match="No such file"):
        read_folds(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(KitsError, match="no text"):
        read_folds(tmp_path / "binary")


def test_cases_that_the_dataset_has_not(write):
    file = write(FIVE)
    check_cases(file, read_folds(file), "abcd")
    with pytest.raises(KitsError, match="with a reference, got b, c; correct the names"):
        check_cases(file, read_folds(file), "a")
