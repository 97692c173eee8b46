"""Event records as the reader gives them, for tests of what is made of them."""

from __future__ import annotations

from forensics.collect.evtx_log import LogRecord, ReadLog

GENERAL = "Microsoft-Windows-Kernel-General"
POWER = "Microsoft-Windows-Kernel-Power"
WER = "Microsoft-Windows-WER-SystemErrorReporting"


def record(number: int, time: str, provider: str, event: int, **data: str) -> LogRecord:
    return LogRecord(number, event, provider, "", 4, time, data)


def start(number: int, time: str) -> LogRecord:
    return record(number, time, GENERAL, 12, MajorVersion="10", MinorVersion="0", BuildVersion="17763",
                  QfeVersion="1757")  # fmt: skip


def stop(number: int, time: str) -> LogRecord:
    return record(number, time, GENERAL, 13, StopTime=time)


def power(number: int, time: str, code: int = 0) -> LogRecord:
    return record(number, time, POWER, 41, BugcheckCode=str(code), BugcheckParameter1="0xffffffffc0000005")


def log_of(*records: LogRecord) -> ReadLog:
    return ReadLog(list(records), len(records), records[-1].time if records else "")
