"""The report of an audit: JSON, terminal, notebooks."""

from circuitprobe.report.audit_report import AuditReport, json_schema

__all__ = ["AuditReport", "json_schema"]
