import pytest

from kits_core.errors import KitsError
from kits_core.source.address import check_address, check_dataset_name
from kits_core.source.opening import open_source


@pytest.mark.parametrize(
    "address", ["https://user:secret@host/data", "https://user@host/data", "https://host/data?token=secret"]
)
def test_an_address_with_a_secret_is_refused_without_repeating_it(address):
    with pytest.raises(KitsError, match=r"KITS_SOURCE_TOKEN") as caught:
        check_address(address)
    assert "secret" not in str(caught.value)
    with pytest.raises(KitsError):
        open_source(address)


@pytest.mark.parametrize("name", ["../up", "/etc", "a//b", "a/../b", ".hidden", "", "a/", "line\nbreak"])
def test_a_dataset_name_that_leaves_its_folder_is_refused(name):
    with pytest.raises(KitsError, match="expected a name of letters"):
        check_dataset_name(name)


@pytest.mark.parametrize("name", ["kits23", "127.0.0.1/dataset", "Klinikum Süd 2024", "a.b-c_d"])
def test_dataset_names(name):
    assert check_dataset_name(name) == name


@pytest.mark.parametrize("address", ["http://user:s3c/ret@host/x", "https://user:s3c#ret@host/x"])
def test_an_address_that_cannot_be_read_is_refused_and_not_repeated(address):
    with pytest.raises(KitsError) as caught:
        check_address(address)
    assert "s3c" not in str(caught.value)
