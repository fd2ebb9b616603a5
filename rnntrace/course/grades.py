"""A grade: what one student gets, for what, and what is said about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rnntrace.course.exercise import points


class Status(StrEnum):
    """What became of a hand-in."""

    GRADED = "graded"
    ABSENT = "absent"
    UNREADABLE = "unreadable"
    TIMEOUT = "timeout"


@dataclass(frozen=True)
class Part:
    """Points for one quantity, or, below 0, for a named mistake."""

    name: str
    score: float
    max_score: float
    says: str

    def __str__(self) -> str:
        of = f"/{points(self.max_score)}" if self.max_score or self.score >= 0 else ""
        return f"{self.name} {points(self.score)}{of}: {self.says}"


@dataclass(frozen=True)
class Grade:
    """What one student gets; without a hand-in that could be judged, nothing of what could have been had."""

    id: str
    status: Status
    score: float
    max_score: float
    parts: tuple[Part, ...] = ()
    mistakes: tuple[str, ...] = ()
    verdict: str = ""
    feedback: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "id": self.id,
            "status": str(self.status),
            "score": self.score,
            "max_score": self.max_score,
            "parts": [
                {"name": part.name, "score": part.score, "max_score": part.max_score, "says": part.says} for part in self.parts
            ],
            "mistakes": list(self.mistakes),
            "verdict": self.verdict,
            "feedback": self.feedback,
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> "Grade":
        """The way back from `document`. KeyError, TypeError and ValueError say that it is none."""
        parts = tuple(Part(**part) for part in found["parts"])
        return cls(**{**found, "status": Status(found["status"]), "parts": parts, "mistakes": tuple(found["mistakes"])})

    @property
    def full(self) -> bool:
        """Whether all points were earned that could be had."""
        return self.status is Status.GRADED and self.score == self.max_score


@dataclass(frozen=True)
class Grades(Sequence[Grade]):
    """The grades of a class, in the order of the roster or of the ids, with the rule by which points are given.

    `seconds` is how long it took.
    """

    title: str
    max_score: float
    rule: tuple[str, ...]
    found: tuple[Grade, ...]
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, key: Any) -> Any:
        """By number, or by the student's id."""
        if isinstance(key, str):
            return {grade.id: grade for grade in self.found}[key]
        return self.found[key]

    @property
    def complete(self) -> bool:
        """Whether everybody could be graded."""
        return all(grade.status is Status.GRADED for grade in self.found)
