"""The language of regressions and its engine: a facts document in, findings out."""

from __future__ import annotations

from signatures.engine import Judgement, judge, judge_all
from signatures.finding import FindingDict
from signatures.load import Database, load_database

__all__ = ["Database", "FindingDict", "Judgement", "judge", "judge_all", "load_database"]
