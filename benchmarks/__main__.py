"""Every benchmark, one after another: `make bench`."""

from benchmarks.accuracy import classics, defaults, method, random_walks
from benchmarks.faithfulness import cost, deletion, noise_drivers, planted
from benchmarks.speed import overhead

for benchmark in (overhead, classics, method, defaults, random_walks, planted, noise_drivers, deletion, cost):
    print(f"\n{benchmark.__name__}")
    benchmark.main()
