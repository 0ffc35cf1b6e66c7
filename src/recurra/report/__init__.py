"""What people look at after training: one self-contained HTML page, written from the run folder alone.

Importing this package imports neither matplotlib nor polars; they are imported when a report is drawn.
"""

from recurra.report.write import write_report

__all__ = ["write_report"]
