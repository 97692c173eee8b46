"""The declared layouts and the reader's own unpacking give the same."""

from __future__ import annotations

from parsers.bytesource import BytesSource
from parsers.ntfs.journal import layouts
from parsers.ntfs.journal.action import Action
from parsers.ntfs.journal.pages import LogPages
from parsers.ntfs.journal.records import LogReader
from parsers.ntfs.journal.restart import read_restart
from tests.parsers.ntfs.journals import LogWriter, Step


def test_the_declared_layouts_read_what_the_reader_reads() -> None:
    writer = LogWriter()
    writer.begin()
    lsn = writer.step(Step(7, 7, b"new", b"old", 0x40, (5, 6), 0x38, 0x18, 2, 8, 9))
    log = writer.written()
    restart = read_restart(BytesSource(log))
    assert restart is not None
    page = layouts.RESTART_PAGE.parse(log)
    area = layouts.RESTART_AREA.parse(log[page.restart_offset :])
    client = layouts.RESTART_CLIENT.parse(log[page.restart_offset + area.client_array_offset :])
    assert client.client_name == "NTFS".encode("utf-16-le")
    assert (page.major_ver, page.minor_ver) == restart.version
    assert (page.system_page_size, page.log_page_size) == (restart.system_page, restart.page)
    assert (area.current_lsn, area.seq_number_bits, area.file_size) == (
        restart.current,
        restart.sequence_bits,
        restart.size,
    )
    assert (area.log_page_data_offset, client.client_restart_lsn) == (restart.data, restart.checkpoint)
    pages = LogPages(BytesSource(log), restart)
    reader = LogReader(pages, restart)
    place = reader.offset(lsn)
    held = pages.page(place - place % restart.page)
    assert held is not None
    head = layouts.RECORD_PAGE.parse(held.data)
    assert head.last_end_lsn == held.last_end == lsn
    record, declared = reader.read(lsn), layouts.LOG_RECORD.parse(held.data[place % restart.page :])
    assert record is not None
    action = Action.parse(record)
    assert (declared.this_lsn, declared.client_previous_lsn, declared.client_undo_next_lsn) == (
        record.lsn,
        record.previous,
        record.undo_next,
    )
    assert (declared.record_type, declared.transaction_id) == (record.kind, record.transaction)
    assert (declared.redo_operation, declared.undo_operation) == (action.redo, action.undo)
    assert (declared.target_attribute, declared.target_vcn) == (action.target, action.vcn)
    assert (declared.record_offset, declared.attribute_offset) == (action.record_offset, action.attribute_offset)
    assert declared.cluster_block_offset * 512 == action.within
    assert tuple(declared.lcn_list) == action.lcns
    assert (action.redo_data, action.undo_data) == (b"new", b"old")
