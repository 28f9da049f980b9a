"""Every benchmark, one after another: `make bench`."""

from benchmarks.accuracy import classics, defaults, method, random_walks, seven, sml2010
from benchmarks.faithfulness import cost, deletion, noise_drivers, planted
from benchmarks.speed import overhead, sensors

ACCURACY = (classics, seven, method, defaults, random_walks, sml2010)
for benchmark in (overhead, sensors, *ACCURACY, planted, noise_drivers, deletion, cost):
    print(f"\n{benchmark.__name__}")
    benchmark.main()
