"""The cost side of a comparison: accounts of every system, forecasts held against readings, and what to choose.

Pure functions of what was measured; nothing here trains, generates or draws.
"""
