"""Pictures of an estimator, in the manner of scikit-learn's displays: computing here, drawing in `plot`.

matplotlib is imported when something is drawn.
"""

from skattn.inspection.attention import AttentionDisplay
from skattn.inspection.forecast import ForecastDisplay
from skattn.inspection.history import HistoryDisplay

__all__ = ["AttentionDisplay", "ForecastDisplay", "HistoryDisplay"]
