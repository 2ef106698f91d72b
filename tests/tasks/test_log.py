import io
import logging

import pytest

import tasks  # noqa: F401 - which makes the logs of its process safe


@pytest.fixture
def log():
    """A logger and what it wrote."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("kits.test")
    logger.addHandler(handler)
    yield logger, written
    logger.removeHandler(handler)


def test_no_record_steers_a_terminal_or_forges_a_line(log):
    logger, written = log
    logger.warning("%s: refused", "case\x1b]52;c;eA==\x07\nERROR all cases are lost")
    assert written.getvalue() == "WARNING case\ufffd]52;c;eA==\ufffd\n    ERROR all cases are lost: refused\n"


def test_nor_does_a_traceback(log):
    logger, written = log
    try:
        raise ValueError("\x1b[2J\nERROR forged")
    except ValueError:
        logger.exception("failed")
    text = written.getvalue()
    assert "ValueError: \ufffd[2J" in text
    assert text.count("Traceback") == 1
    assert "\nERROR forged" not in text
    assert "\x1b" not in text
