import os
import shutil
import stat
import subprocess
import threading

import httpx
import pytest

from deployments.home_note import Note, auth_string, dashboard_link, prefect_home
from deployments.home_server import starting
from deployments.password import login_link, make_password, password_file, read_password
from kits_core.errors import KitsError
from kits_core.files import keep_private, write_text_atomically

OTHERS = next((name for name in ("nobody", "daemon") if shutil.which("runuser")), None)


@pytest.fixture
def folder(tmp_path):
    """The server's folder in a home that is its owner's alone."""
    home = tmp_path / "home"
    keep_private(home)
    prefect_home(home).mkdir()
    return prefect_home(home)


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_made_once_long_and_for_its_owner_alone_whatever_the_umask(folder):
    before = os.umask(0)
    try:
        made = make_password(folder)
    finally:
        os.umask(before)
    user, _, secret = made.partition(":")
    assert user == "kits"
    assert len(secret) >= 32
    assert _mode(password_file(folder)) == 0o600
    assert make_password(folder) == read_password(folder) == made
    assert [path.name for path in folder.iterdir()] == ["auth-string"]


def test_one_that_was_chosen_replaces_it_and_stays(folder):
    made = make_password(folder)
    assert make_password(folder, "me:mine") == "me:mine" != made
    assert make_password(folder) == "me:mine"
    assert _mode(password_file(folder)) == 0o600


def test_one_that_others_could_read_is_closed(folder):
    made = make_password(folder)
    password_file(folder).chmod(0o644)
    assert make_password(folder) == made
    assert _mode(password_file(folder)) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to any group")
def test_in_a_shared_home_the_group_reads_it_also_if_the_home_is_shared_later(folder):
    for _ in range(2):
        make_password(folder)
        keep_private(folder.parent, "daemon")
    make_password(folder)
    found = password_file(folder).stat()
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o640, folder.parent.stat().st_gid)


def test_one_that_was_edited_counts_without_its_line_end_and_an_empty_one_lets_nobody_in(folder):
    password_file(folder).write_text("me:mine\n")
    assert make_password(folder) == read_password(folder) == "me:mine"
    password_file(folder).write_text("\n")
    with pytest.raises(KitsError, match="expected a password, got an empty file; delete it"):
        make_password(folder)


def test_one_that_cannot_be_read_is_said_with_the_way_out(folder):
    with pytest.raises(KitsError, match=r"auth-string: expected the password .* got: No such file .* KITS_HOME_GROUP"):
        read_password(folder)


def test_the_link_keeps_the_password_behind_the_hash_and_holds_any_characters():
    link = login_link("http://127.0.0.1:4200", "me:a b#c?d/%é", "/runs")
    assert link == "http://127.0.0.1:4200/kits/login/runs#me:a%20b%23c%3Fd%2F%25%C3%A9"


def test_who_uses_a_server_without_a_password_shows_none(folder):
    make_password(folder)
    home, note = folder.parent, folder / "up.json"
    address = "http://127.0.0.1:4200/api"
    for password, auth in ((True, read_password(folder)), (False, None)):
        text = f'{{"api_url": "{address}", "pid": 1, "prefect": "3", "password": {str(password).lower()}}}'
        write_text_atomically(note, text)
        assert auth_string(home, address) == auth
        assert ("#" in dashboard_link(home, address)) == password
    assert dashboard_link(home, "http://10.0.0.1:4200/api") == "http://10.0.0.1:4200"
    assert Note(address, 1, "3").password is False  # an older release's


@pytest.mark.skipif(os.geteuid() != 0 or OTHERS is None, reason="only root can be another user")
def test_another_user_of_the_machine_can_neither_read_it_nor_use_the_server(_server, tmp_path_factory):
    home, url = _server
    keep_private(home)
    for path in home.parents:
        if path.is_relative_to(tmp_path_factory.getbasetemp().parent):
            path.chmod(path.stat().st_mode | 0o711)  # the home alone keeps others out
    secret, port = read_password(prefect_home(home)), httpx.URL(url).port

    def as_other(script):
        command = ["runuser", "-u", OTHERS, "--", "bash", "-c", script]
        environment = {"PATH": os.environ["PATH"]}  # this process has the password in its own
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd="/")

    read = as_other(f"cat {password_file(prefect_home(home))}")
    assert "Permission denied" in read.stderr
    request = "GET /api/admin/version HTTP/1.0\\r\\nHost: 127.0.0.1\\r\\n\\r\\n"
    asked = as_other(f"exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{request}' >&3; head -1 <&3")
    assert asked.stdout.split()[1] == "401"
    seen = as_other("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2> /dev/null | tr '\\0' '\\n'").stdout
    assert "pytest" in seen
    assert secret not in seen


def test_commands_at_the_same_instant_get_the_same_one(tmp_path):
    """Each as a command does it: with the lock of who starts a server."""
    home = tmp_path / "home"
    keep_private(home)
    prefect_home(home).mkdir()
    made, ready = [], threading.Barrier(8)

    def command():
        ready.wait()
        with starting(home):
            made.append(make_password(prefect_home(home)))

    threads = [threading.Thread(target=command) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert set(made) == {read_password(prefect_home(home))}
