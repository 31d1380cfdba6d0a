"""The report of a study: what its JSON holds, Markdown, terminal, figures."""
