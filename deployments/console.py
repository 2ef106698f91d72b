"""Progress for people while a flow runs: bars on a terminal, otherwise a line from time to time."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_LINE_EVERY_S = 10.0


class ConsoleProgress:
    """Shows what `tasks.progress` reports. Used as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<10}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}", style="dim", markup=False),
                console=console,
            )
        self._ids: dict[str, TaskID] = {}
        self._last_line: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def say(self, text: str) -> None:
        """See `tasks.progress.Listener`."""
        (self._bars.console if self._bars else self._console).print(text, highlight=False, markup=False, soft_wrap=True)

    def update(self, stage: str, done: int, total: int, note: str) -> None:
        """See `tasks.progress.Listener`."""
        if self._bars:
            if stage not in self._ids:
                self._ids[stage] = self._bars.add_task(stage, total=total, note="")
            self._bars.update(self._ids[stage], completed=done, total=total, note=note)
            return
        now = time.monotonic()
        finished = done >= total
        if finished or now - self._last_line.get(stage, 0.0) >= _LINE_EVERY_S:
            self._last_line[stage] = now
            self._console.print(f"{stage:<10} {done}/{total}  {note}", highlight=False, markup=False)
