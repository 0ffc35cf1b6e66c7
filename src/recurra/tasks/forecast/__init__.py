"""Forecasting one or many series, with quantiles."""
