"""What a study finds: METHOD.md section 6 as pure functions of the runs' records."""
