"""What `kits ingest` shows of what its flow met."""

import json

from deployments import running
from deployments.cli.data import ingest
from flows.ingest import Ingested


def test_what_was_not_used_is_said_on_the_terminal_without_filling_it(monkeypatch, capsys):
    notes = tuple(f"case_{number:05d}: expected [int] or null" for number in range(12))
    done = Ingested("data", chosen=12, brought_in=12, refused=0, vanished=0, notes=notes)
    monkeypatch.setattr(running, "run_flow", lambda *_: done)
    ingest(source="./data")
    shown = capsys.readouterr()
    assert "note: case_00009: expected [int] or null" in shown.err
    assert "case_00010" not in shown.err
    assert "note: and 2 more" in shown.err
    ingest(source="./data", as_json=True)
    assert json.loads(capsys.readouterr().out)["notes"] == list(notes)
