"""How fast and how small snapstore is beside what people use today: seconds, bytes and memory, in one run.

    python -m benchmarks                       # what the page shows; about a quarter of an hour
    python -m benchmarks --full                # and a million memories, and larger months; hours
    python -m benchmarks --rows 400 --repeats 1  # a quick look, kept out of the results

`__main__` starts a throwaway PostgreSQL, `cases` runs the sides of each comparison in turn, each in a process of its
own (`process`), with `nights`, `month` and `scale` for what goes by days and sizes, and `peers` for what others do.
`results` keeps every sample as JSON; `report`, `series` and `plots` make docs/benchmarks.md from it. Tests never assert
seconds; this is where seconds live. `codecs` stands alone: what could compress vectors.
"""
