"""Finished tables in; one offline HTML page, SVG figures and a terminal table out."""
