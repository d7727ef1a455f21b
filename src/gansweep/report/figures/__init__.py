"""Figures of the report, as Plotly's JSON."""
