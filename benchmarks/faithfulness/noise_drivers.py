"""How much of the attention 81 shuffled drivers draw from the real ones: SML2010, the drivers of a room's temperature.

Run: python -m benchmarks.faithfulness.noise_drivers
"""

import numpy as np

from benchmarks.data import sml2010
from benchmarks.record import save, spread
from skattn import AttentionLSTMRegressor
from skattn.windows import steps

WINDOW, N_NOISE, N_TEST, SEEDS = 10, 81, 537, range(5)
COMMON = {"channel_attention": "additive", "encoder": "gru", "linear_skip": False, "lr": 0.003, "max_epochs": 60}
SETTINGS = {
    "softmax, attention_noise=0": {},
    "entmax15, attention_noise=0": {"attention_activation": "entmax15"},
    "entmax15, attention_noise=0.7": {"attention_activation": "entmax15", "attention_noise": 0.7},
    "sparsemax, attention_noise=0.7": {"attention_activation": "sparsemax", "attention_noise": 0.7},
    "dual_stage, softmax": {"encoder": "dual_stage"},
    "dual_stage, entmax15, attention_noise=0.7": {
        "encoder": "dual_stage",
        "attention_activation": "entmax15",
        "attention_noise": 0.7,
    },
}


def windows(seed):
    """Windows of drivers and of as many shuffled ones as N_NOISE, temperatures, and the number of real drivers."""
    parts = sml2010()
    table = np.concatenate([part.to_numpy(float) for part in parts])
    target = parts[0].columns.get_loc("Temperature_Habitacion_Sensor")
    drivers = np.delete(table, target, 1)
    drivers = drivers[:, drivers[: len(parts[0])].std(0) > 0]
    rng, n_real = np.random.default_rng(seed), drivers.shape[1]
    shuffled = [rng.permutation(drivers[:, k % n_real]) for k in range(N_NOISE)]
    X = steps(np.column_stack([drivers, *shuffled]).astype(np.float32), WINDOW)
    start = np.arange(len(X))
    whole = (start + WINDOW <= len(parts[0])) | (start >= len(parts[0]))  # no window reaches across the gap
    return X[whole], table[WINDOW - 1 :, target][whole], n_real


def main():
    rows = []
    for name, params in SETTINGS.items():
        noise, errors, largest = [], [], []
        for seed in SEEDS:
            X, y, n_real = windows(seed)
            model = AttentionLSTMRegressor(**{**COMMON, **params}, random_state=seed).fit(X[:-N_TEST], y[:-N_TEST])
            weights = model.attention_weights(X[-N_TEST:], kind="channel")
            noise.append(100 * weights[:, n_real:].sum(1).mean())
            largest.append(100 * weights[:, n_real:].mean(0).max())
            errors.append(np.sqrt(np.mean((model.predict(X[-N_TEST:]) - y[-N_TEST:]) ** 2)))
        rows.append(
            {
                "setting": name,
                "% of the mass on noise": spread(noise),
                "worst seed": float(max(noise)),
                "% on the largest noise driver": spread(largest),
                "test RMSE": spread(errors),
            }
        )
        print(rows[-1], flush=True)
    notes = (
        f"Windows of {WINDOW} steps of the {n_real} drivers that vary and of {N_NOISE} shuffled copies of them; the "
        "target is the room's temperature at the newest step, without its own past, so that the error is not that of a "
        f"forecast. The last {N_TEST} steps are explained; even weights would put "
        f"{100 * N_NOISE / (N_NOISE + n_real):.0f} % on noise. Seeds 0 to 4 of shuffles and networks, mean "
        "± standard deviation."
    )
    save(__file__, rows, notes)


if __name__ == "__main__":
    main()
