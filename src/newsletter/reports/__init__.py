"""What came back: read bounces, complaints and automatic replies, and judge them. Pure, and safe on any bytes."""

from newsletter.reports.reading import Report, read
from newsletter.reports.verdicts import DISABLED, Verdict, speaks_of_room

__all__ = ["DISABLED", "Report", "Verdict", "read", "speaks_of_room"]
