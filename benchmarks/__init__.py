"""How fast and how small snapstore is beside what people use today: seconds, bytes and memory, in one run.

    python -m benchmarks                       # everything, at full size; about a quarter of an hour
    python -m benchmarks --rows 400 --repeats 1  # a quick look, kept out of the results

`__main__` starts a throwaway PostgreSQL, `cases` runs the sides of each comparison in turn, each in a process of its
own (`process`, `operation`), `results` keeps every sample as JSON, and `report` makes the table of docs/benchmarks.md
from it. Tests never assert seconds; this is where seconds live.
"""
