"""Every benchmark, one after another: `make bench`."""

from benchmarks.accuracy import classics, defaults, method
from benchmarks.speed import overhead

for benchmark in (overhead, classics, method, defaults):
    print(f"\n{benchmark.__name__}")
    benchmark.main()
