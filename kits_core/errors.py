"""Errors that name the case, what was expected, what was got, and the next step."""

import re

from kits_core.text import one_line

_CASE_NAME = re.compile(r"case_[0-9]{5}")


class KitsError(Exception):
    """Anything this project refuses on purpose. The message is complete and is shown to users as it stands.

    It is one line. Quoted text in it cannot send control codes to a terminal.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class CaseError(KitsError):
    """One case cannot go on; the others can.

    Source of the form: `case_00160: image (512, 796, 83) and segmentation (512, 512, 83) differ; delete both ...`.
    """

    def __init__(self, case: str, *, expected: str, got: str, next_step: str) -> None:
        super().__init__(case, expected, got, next_step)
        self.case, self.expected, self.got, self.next_step = case, expected, got, next_step

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by keyword, so that the error crosses a process boundary whole."""
        return _rebuild, (type(self), self.case, self.expected, self.got, self.next_step)

    def __str__(self) -> str:
        return one_line(f"{self.case}: expected {self.expected}, got {self.got}; {self.next_step}")


def why(case: str, error: BaseException) -> str:
    """Why work on a case failed, for people: the refusal, or that the program has a fault."""
    if isinstance(error, KitsError):
        return str(error)
    found = ": ".join(part for part in (type(error).__name__, one_line(str(error))) if part)
    return (
        f"{one_line(case)}: expected to work on it, got an error that is no refusal ({found}); it is a fault of the "
        "program or of the machine: the run's log has the traceback, please report it if it comes again"
    )


def _rebuild(kind: type[CaseError], case: str, expected: str, got: str, next_step: str) -> CaseError:
    return kind(case, expected=expected, got=got, next_step=next_step)


def is_case_name(name: str) -> bool:
    """Whether `name` is an official case name."""
    return _CASE_NAME.fullmatch(name) is not None


def check_case_name(name: str) -> str:
    """`name` itself if it is an official case name (`case_00000`), which is also safe as a folder name.

    Raises `CaseError` otherwise.
    """
    if not is_case_name(name):
        raise CaseError(
            name, expected="a name like case_00042 (case_ and five digits)", got=repr(name), next_step="rename the case"
        )
    return name
