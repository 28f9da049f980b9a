"""What an estimator looks at, and whether that can be trusted: displays, reports, importance from outside.

Displays are those of scikit-learn: computing apart from drawing in `plot`. matplotlib is imported when something is
drawn.
"""

from skattn.inspection.attention import AttentionDisplay
from skattn.inspection.attribution import integrated_gradients, occlusion
from skattn.inspection.forecast import ForecastDisplay
from skattn.inspection.history import HistoryDisplay
from skattn.inspection.report import AttentionReport, AttentionWarning, attention_report
from skattn.inspection.scores import area_under_precision, area_under_recall, truth_scores
from skattn.inspection.sensors import SensorDisplay

__all__ = [
    "AttentionDisplay",
    "AttentionReport",
    "AttentionWarning",
    "ForecastDisplay",
    "HistoryDisplay",
    "SensorDisplay",
    "area_under_precision",
    "area_under_recall",
    "attention_report",
    "integrated_gradients",
    "occlusion",
    "truth_scores",
]
