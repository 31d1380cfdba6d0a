"""Two audits against each other: the gate of a build, the comparison, the assertions of tests (METHOD.md section 7)."""
