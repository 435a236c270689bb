"""What a person reads of a run: one self-contained page and one sheet of pictures. Never torch."""

from apdm.report.contact_sheet import write_contact_sheet
from apdm.report.page import write_report

__all__ = ["write_contact_sheet", "write_report"]
