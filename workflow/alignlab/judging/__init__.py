"""Judging: rubrics put to judges, answers scored and compared, judges tried before they count."""
