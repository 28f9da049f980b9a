"""Every benchmark, one after another: `make bench`."""

from benchmarks.accuracy import classics, defaults, method
from benchmarks.faithfulness import cost, deletion, noise_drivers, planted
from benchmarks.speed import overhead

for benchmark in (overhead, classics, method, defaults, planted, noise_drivers, deletion, cost):
    print(f"\n{benchmark.__name__}")
    benchmark.main()
